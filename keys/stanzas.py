"""Stanzas: each wraps a sealed file's data key for one way of opening it.

A stanza is a flat JSON object with a ``kind``. Another way (a recovery recipient, a keyring) is
another class with `wrap` and `unwrap`; files keep their version.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Protocol

from blindfit.errors import InputError, PassphraseError, SealError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

DATA_KEY_BYTES: Final = 32
Stanza = Mapping[str, str | int]

_SALT_BYTES: Final = 16
_TAG_BYTES: Final = 16
_WRAP_CONTEXT: Final = b"blindfit keyset v1 argon2id"
_ZERO_NONCE: Final = bytes(12)  # every wrapping key comes from a fresh salt and is used once


class Recipient(Protocol):
    """Somebody a file is sealed for."""

    def wrap(self, data_key: bytes) -> Stanza:
        """The stanza by which this recipient gets at ``data_key`` (32 bytes)."""


class Opener(Protocol):
    """Something that opens stanzas of one kind."""

    @property
    def kind(self) -> str:
        """Which stanzas it may open."""

    def unwrap(self, stanza: Stanza) -> bytes:
        """The data key (32 bytes); raises `SealError` or `AccessError`."""


@dataclass(frozen=True, slots=True)
class Argon2Cost:
    """What one guess of a passphrase costs. RFC 9106 §4, second choice, is the default.

    The bounds hold for reading too: a file cannot ask for more memory (KiB) or time than these.
    """

    memory_kib: int = 64 * 1024
    passes: int = 3
    lanes: int = 4

    def is_bounded(self) -> bool:
        """Whether memory is 8 MiB to 1 GiB, with 1 to 16 passes and 1 to 16 lanes."""
        return (
            8 * 1024 <= self.memory_kib <= 1024 * 1024
            and 1 <= self.passes <= 16
            and 1 <= self.lanes <= 16
        )


@dataclass(frozen=True, slots=True)
class Passphrase:
    """Wraps with Argon2id (RFC 9106) and AES-256-GCM; is a `Recipient` and an `Opener`."""

    secret: bytes = field(repr=False)
    cost: Argon2Cost = Argon2Cost()

    @property
    def kind(self) -> str:
        """The stanzas of passphrases."""
        return "argon2id"

    def wrap(self, data_key: bytes) -> Stanza:
        """A stanza with a fresh salt; raises `InputError` for a cost out of bounds."""
        if not self.cost.is_bounded():
            raise InputError(f"{self.cost} is out of bounds")
        salt = os.urandom(_SALT_BYTES)
        return {
            "kind": self.kind,
            "lanes": self.cost.lanes,
            "memory_kib": self.cost.memory_kib,
            "passes": self.cost.passes,
            "salt": salt.hex(),
            "wrapped": self._cipher(salt, self.cost)
            .encrypt(_ZERO_NONCE, data_key, _WRAP_CONTEXT)
            .hex(),
        }

    def unwrap(self, stanza: Stanza) -> bytes:
        """The data key; raises `PassphraseError`, or `SealError` for a malformed stanza."""
        from cryptography.exceptions import InvalidTag

        cost = _bounded_cost(stanza)
        salt = _binary(stanza, "salt", _SALT_BYTES)
        wrapped = _binary(stanza, "wrapped", DATA_KEY_BYTES + _TAG_BYTES)
        try:
            return self._cipher(salt, cost).decrypt(_ZERO_NONCE, wrapped, _WRAP_CONTEXT)
        except InvalidTag as error:
            raise PassphraseError("the passphrase does not open the keyset") from error

    def _cipher(self, salt: bytes, cost: Argon2Cost) -> AESGCM:
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM
        from cryptography.hazmat.primitives.kdf.argon2 import Argon2id

        key = Argon2id(
            salt=salt,
            length=32,
            iterations=cost.passes,
            lanes=cost.lanes,
            memory_cost=cost.memory_kib,
        ).derive(self.secret)
        return AESGCM(key)


def _bounded_cost(stanza: Stanza) -> Argon2Cost:
    fields = {name: stanza.get(name) for name in ("memory_kib", "passes", "lanes")}
    numbers = {name: value for name, value in fields.items() if type(value) is int}
    cost = Argon2Cost(**numbers)
    if len(numbers) != len(fields) or not cost.is_bounded():
        raise SealError(f"the keyset's passphrase stanza asks for an unacceptable cost: {fields}")
    return cost


def _binary(stanza: Stanza, name: str, length: int) -> bytes:
    value = stanza.get(name)
    try:
        content = bytes.fromhex(value) if isinstance(value, str) else b""
    except ValueError:
        content = b""
    if len(content) != length:
        raise SealError(f"{name} in the keyset's stanza is not {length} bytes in hex")
    return content


__all__ = [
    "DATA_KEY_BYTES",
    "Argon2Cost",
    "Opener",
    "Passphrase",
    "Recipient",
    "Stanza",
]
