"""Wrapping a data key under a key that is used once, and reading the fields of a stanza."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from blindfit.errors import PassphraseError, SealError

DATA_KEY_BYTES: Final = 32
WRAP_SALT_BYTES: Final = 16
Stanza = Mapping[str, str | int]

_TAG_BYTES: Final = 16
_ZERO_NONCE: Final = bytes(12)  # every wrapping key comes from a fresh salt and encrypts once


def wrap_data_key(key: bytearray, data_key: bytes | bytearray, kind: str) -> str:
    """``data_key`` under ``key`` (32 bytes, never used before) by AES-256-GCM, in hex."""
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    return AESGCM(key).encrypt(_ZERO_NONCE, data_key, wrap_context(kind)).hex()


def unwrap_data_key(key: bytearray, stanza: Stanza, kind: str) -> bytearray:
    """What `wrap_data_key` wrapped; raises `PassphraseError` for another ``key``."""
    from cryptography.exceptions import InvalidTag
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    wrapped = wrapped_field(stanza)
    data_key = bytearray(DATA_KEY_BYTES)
    try:
        AESGCM(key).decrypt_into(_ZERO_NONCE, wrapped, wrap_context(kind), data_key)
    except InvalidTag as error:
        raise PassphraseError(f"the {_NAMES[kind]} does not open the keys") from error
    return data_key


def wrap_context(kind: str) -> bytes:
    """What binds a wrapped key to its kind of stanza: associated data, or HPKE's ``info``."""
    return f"blindfit keyset v1 {kind}".encode("ascii")


def wrapped_field(stanza: Stanza) -> bytes:
    """The wrapped data key with its tag; raises `SealError`."""
    return binary_field(stanza, "wrapped", DATA_KEY_BYTES + _TAG_BYTES)


def binary_field(stanza: Stanza, name: str, length: int) -> bytes:
    """A member that is ``length`` bytes in hex; raises `SealError` for anything else."""
    value = stanza.get(name)
    try:
        content = bytes.fromhex(value) if isinstance(value, str) else b""
    except ValueError:
        content = b""
    if len(content) != length:
        raise SealError(f"{name} in a stanza is not {length} bytes in hex")
    return content


_NAMES: Final = {"argon2id": "passphrase", "keyring": "entry in the OS keyring"}

__all__ = [
    "DATA_KEY_BYTES",
    "WRAP_SALT_BYTES",
    "Stanza",
    "binary_field",
    "unwrap_data_key",
    "wrap_context",
    "wrap_data_key",
    "wrapped_field",
]
