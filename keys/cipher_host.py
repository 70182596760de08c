"""The child side of `keys.cipher_pool`: imports Concrete once, then forks the processes.

Started as ``python -m keys.cipher_host FD...``, one connected socket for each process. Being a
program of its own, it never imports the caller's ``__main__`` (a script without a guard would run
twice), and keysets reach it over those sockets alone. Each process answers until its socket
closes, so none of them outlives the caller.

A request is an operation (one byte), the key_id that it is meant for (32 bytes), and a row or a
result; REKEY is followed by the keyset in a message of its own. A reply is one byte and what it
says. A request that was made for another key than the one that is here is refused: nothing else
would notice.
"""

from __future__ import annotations

import os
import sys
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from blindfit.errors import BlindfitError, KeyMismatchError
from blindfit.fhe_runtime import load_concrete
from keys.keyset import Keyset
from keys.private import disable_core_dumps

if TYPE_CHECKING:
    from keys.cipher import Cipher

ENCRYPT, DECRYPT, REKEY = b"E", b"D", b"K"
RESULT, FAILURE = b"+", b"!"


def _serve(connection: Connection) -> None:
    """First the bundle's folder and the keyset, then a request and its reply at a time."""
    from keys.cipher import Cipher

    folder = Path(os.fsdecode(connection.recv_bytes()))
    try:
        with _receive_keyset(connection) as keyset:
            cipher = Cipher(folder, keyset)
    except BlindfitError as error:
        connection.send_bytes(FAILURE + _described(error))
        return
    connection.send_bytes(RESULT)
    while True:
        request = connection.recv_bytes()
        try:
            if request[:1] == REKEY:
                with _receive_keyset(connection) as keyset:
                    cipher.rekey(keyset)
                reply = RESULT
            else:
                reply = RESULT + _answer(cipher, request[:1], request[1:33], request[33:])
        except BlindfitError as error:
            reply = FAILURE + _described(error)
        connection.send_bytes(reply)


def _receive_keyset(connection: Connection) -> Keyset:
    return Keyset.from_parent(bytearray(connection.recv_bytes()))


def _answer(cipher: Cipher, operation: bytes, key_id: bytes, payload: bytes) -> bytes:
    import numpy as np

    if key_id.hex() != cipher.key_id:
        raise KeyMismatchError(f"key {key_id.hex()[:12]} was exchanged for {cipher.key_id[:12]}")
    if operation == ENCRYPT:
        return cipher.encrypt(np.frombuffer(payload, dtype=np.float64))
    decrypted = cipher.decrypt(payload)
    count = len(decrypted.quantized).to_bytes(4, "big")
    return count + decrypted.quantized.tobytes() + decrypted.scores.tobytes()


def _described(error: BlindfitError) -> bytes:
    return "\0".join((error.reason, str(error), error.hint)).encode()


def _run_child(descriptor: int) -> NoReturn:
    try:
        with Connection(descriptor) as connection:
            _serve(connection)
    except (EOFError, ConnectionResetError, BrokenPipeError, KeyboardInterrupt):
        os._exit(0)  # the caller is gone or done
    os._exit(0)


def main(arguments: list[str]) -> None:
    """Fork a process for each descriptor in ``arguments`` and wait for all of them."""
    # One row is small: OpenMP's threads would only spin, and there is a process for each core.
    os.environ["OMP_NUM_THREADS"] = "1"
    disable_core_dumps()
    load_concrete()  # shared by every fork
    descriptors = [int(argument) for argument in arguments]
    children = []
    for descriptor in descriptors:
        child = os.fork()
        if child == 0:
            for other in descriptors:
                if other != descriptor:
                    os.close(other)
            _run_child(descriptor)
        children.append(child)
    for descriptor in descriptors:
        os.close(descriptor)
    for child in children:
        os.waitpid(child, 0)


if __name__ == "__main__":
    main(sys.argv[1:])
