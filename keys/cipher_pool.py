"""Encryption and decryption in processes of their own, one for each core.

Encryption does not scale with threads, Concrete takes ten seconds to import, and a result comes
from a peer: so the secret keys are used only in child processes (see `keys.cipher_host`), which
this module feeds over private sockets.
"""

from __future__ import annotations

import os
import queue
import subprocess
import sys
from concurrent.futures import Future, ThreadPoolExecutor
from multiprocessing.connection import Connection, Pipe
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from blindfit.errors import BlindfitError, UnavailableError
from blindfit.status import error_from_detail
from blindfit.wire_types import ErrorDetail
from keys.access import SECRET_ACCESS
from keys.cipher import Decrypted
from keys.cipher_host import DECRYPT, ENCRYPT, RESULT

if TYPE_CHECKING:
    from keys.keyset import Keyset

_STOP_SECONDS = 5.0
_NOT_STARTED = "the process that encrypts and decrypts has ended or did not start"


class CipherPool:
    """``processes`` ciphers of one model version and one keyset; use it as a context manager.

    Starting takes as long as importing Concrete, about ten seconds. Raises `BlindfitError` from a
    future when a row cannot be encrypted or a result is none of this model's.
    """

    def __init__(self, bundle_folder: Path, keyset: Keyset, processes: int | None = None):
        count = processes or os.cpu_count() or 1
        pairs = [Pipe() for _ in range(count)]
        self._ends = [ours for ours, _ in pairs]
        self._host = _start_host([theirs for _, theirs in pairs])
        self._threads = ThreadPoolExecutor(count, thread_name_prefix="cipher")
        self._idle: queue.SimpleQueue[Connection] = queue.SimpleQueue()
        self.processes = count
        try:
            for connection in self._ends:
                _introduce(connection, bundle_folder, keyset)
            for connection in self._ends:
                _result(_receive(connection))
                self._idle.put(connection)
        except BaseException:
            self._host.kill()  # it may import Concrete for seconds, and holds nothing to save
            self.close()
            raise

    def __enter__(self) -> CipherPool:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def encrypt(self, row: NDArray[np.float64]) -> Future[bytes]:
        """The ciphertext of an encoded row (width,)."""
        return self._threads.submit(self._ask, ENCRYPT + row.astype(np.float64).tobytes())

    def decrypt(self, ciphertext: bytes) -> Future[Decrypted]:
        """The result in a ciphertext that was made for this keyset."""
        return self._threads.submit(lambda: _decrypted(self._ask(DECRYPT + ciphertext)))

    def close(self) -> None:
        """End the processes; requests that wait are dropped."""
        self._threads.shutdown(wait=False, cancel_futures=True)
        for connection in self._ends:
            connection.close()
        try:
            self._host.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._host.kill()
            self._host.wait()

    def _ask(self, request: bytes) -> bytes:
        connection = self._idle.get()
        try:
            connection.send_bytes(request)
            reply = _receive(connection)
        except (OSError, UnavailableError) as error:
            # The process is gone. Let the next request find that out too, rather than wait.
            self._idle.put(connection)
            raise UnavailableError(
                "a process that encrypts and decrypts has ended",
                hint="start the command again; if it repeats, the server's results are damaged",
            ) from error
        self._idle.put(connection)
        return _result(reply)


def _start_host(connections: list[Connection]) -> subprocess.Popen[bytes]:
    descriptors = [connection.fileno() for connection in connections]
    try:
        # In a session of its own: Ctrl-C is for the caller, which then closes the sockets.
        return subprocess.Popen(
            # -P: the current folder may hold a keys.py, and this process gets the secret keys.
            [sys.executable, "-P", "-m", "keys.cipher_host", *map(str, descriptors)],
            pass_fds=descriptors,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
        )
    finally:
        for connection in connections:
            connection.close()


def _introduce(connection: Connection, bundle_folder: Path, keyset: Keyset) -> None:
    try:
        connection.send_bytes(os.fsencode(bundle_folder))
        connection.send_bytes(keyset.to_child(SECRET_ACCESS))
    except OSError as error:
        raise UnavailableError(_NOT_STARTED) from error


def _receive(connection: Connection) -> bytes:
    try:
        return connection.recv_bytes()
    except (EOFError, OSError) as error:
        raise UnavailableError(_NOT_STARTED) from error


def _result(reply: bytes) -> bytes:
    if reply[:1] == RESULT:
        return reply[1:]
    reason, message, hint = reply[1:].decode().split("\0")
    raise _error(reason, message, hint)


def _error(reason: str, message: str, hint: str) -> BlindfitError:
    return error_from_detail(ErrorDetail(reason, message, hint, {}))


def _decrypted(reply: bytes) -> Decrypted:
    count = int.from_bytes(reply[:4], "big")
    quantized = np.frombuffer(reply, dtype=np.int64, count=count, offset=4)
    return Decrypted(quantized, np.frombuffer(reply, dtype=np.float64, offset=4 + 8 * count))


__all__ = ["CipherPool"]
