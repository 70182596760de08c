"""The message by which a child process gets a keyset's secret, in clear: never anything but a pipe.

    length of the description (4 bytes, big-endian) ‖ description, canonical JSON ‖ secret keys

A keyset keeps its secret in this form from the start, so that handing it on copies nothing. The
evaluation keys stay behind: a child encrypts and decrypts, and needs none.
"""

from __future__ import annotations

import struct
from typing import Final

from blindfit.errors import SealError
from keys.description import KeysetDescription, decode_description, encode_description

_LENGTH: Final = struct.Struct(">I")


def new_message(description: KeysetDescription) -> bytearray:
    """The message with zeros in the place of the secret, for `secret_part` to fill."""
    header = encode_description(description)
    message = bytearray(_LENGTH.size + len(header) + description.secret_bytes)
    _LENGTH.pack_into(message, 0, len(header))
    message[_LENGTH.size : _LENGTH.size + len(header)] = header
    return message


def read_description(message: bytes | bytearray | memoryview) -> KeysetDescription:
    """What the message says that it holds; raises `SealError` unless it is whole."""
    if len(message) < _LENGTH.size:
        raise SealError("the keyset from the parent process was cut")
    end = _secret_start(message)
    description = decode_description(bytes(memoryview(message)[_LENGTH.size : end]))
    if len(message) - end != description.secret_bytes:
        raise SealError("the secret keys are not as long as the keyset's header says")
    return description


def secret_part(message: bytes | bytearray | memoryview) -> memoryview:
    """The secret keys inside, without a copy; writable if ``message`` is."""
    return memoryview(message)[_secret_start(message) :]


def _secret_start(message: bytes | bytearray | memoryview) -> int:
    return _LENGTH.size + int(_LENGTH.unpack_from(message)[0])


__all__ = ["new_message", "read_description", "secret_part"]
