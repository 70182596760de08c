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
import threading
from concurrent.futures import Future, ThreadPoolExecutor
from multiprocessing.connection import Connection, Pipe
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from blindfit.errors import BlindfitError, UnavailableError
from blindfit.status import error_from_detail
from blindfit.wire_types import ErrorDetail
from keys.access import SECRET_ACCESS
from keys.cipher import Decrypted
from keys.cipher_host import DECRYPT, ENCRYPT, REKEY, RESULT

if TYPE_CHECKING:
    from keys.keyset import Keyset

_STOP_SECONDS = 5.0
_NOT_STARTED = "the process that encrypts and decrypts has ended or did not start"


class CipherPool:
    """``processes`` ciphers of one model version, with one keyset at a time; a context manager.

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
        self._rekeying = threading.Lock()
        self.processes = count
        self.key_id = keyset.key_id
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

    def __exit__(self, *_raised: object) -> None:
        self.close()

    def encrypt(self, row: NDArray[np.float64]) -> Future[bytes]:
        """The ciphertext of an encoded row (width,), for the keyset that is here now."""
        request = self._request(ENCRYPT, row.astype(np.float64).tobytes())
        return self._threads.submit(self._ask, request)

    def decrypt(self, ciphertext: bytes) -> Future[Decrypted]:
        """The result in a ciphertext that was made for the keyset that is here now."""
        request = self._request(DECRYPT, ciphertext)
        return self._threads.submit(lambda: _decrypted(self._ask(request)))

    def rekey(self, keyset: Keyset) -> None:
        """Exchange the keyset in every process, for another of the same parameters.

        What was asked for before and did not begin fails with `KeyMismatchError`: nothing is ever
        encrypted or decrypted with another keyset than it was asked for.
        """
        with self._rekeying:  # two would wait for each other's processes
            connections = [self._idle.get() for _ in self._ends]
            try:
                for connection in connections:
                    message = keyset.to_child(SECRET_ACCESS)
                    _result(_answer_of(connection, self._request(REKEY), message))
            finally:
                for connection in connections:
                    self._idle.put(connection)
            self.key_id = keyset.key_id

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

    def _request(self, operation: bytes, payload: bytes = b"") -> bytes:
        return b"".join((operation, bytes.fromhex(self.key_id), payload))

    def _ask(self, request: bytes) -> bytes:
        connection = self._idle.get()
        try:
            reply = _answer_of(connection, request)
        finally:
            # Also if the process is gone: the next request is to find that out, and not to wait.
            self._idle.put(connection)
        return _result(reply)


def _answer_of(connection: Connection, *messages: bytes | memoryview) -> bytes:
    try:
        for message in messages:
            connection.send_bytes(message)
        return connection.recv_bytes()
    except (EOFError, OSError) as error:
        raise UnavailableError(
            "a process that encrypts and decrypts has ended",
            hint="start the command again; if it repeats, the server's results are damaged",
        ) from error


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
