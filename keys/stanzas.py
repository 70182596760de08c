"""Stanzas: each wraps a data key for one way of opening what was sealed.

A stanza is a flat JSON object with a ``kind``. Another way is another class with `wrap` and
`unwrap`: `keys.recovery`, `keys.os_keyring`; files keep their version.
"""

from __future__ import annotations

import os
import threading
from dataclasses import dataclass, field
from typing import Protocol

from blindfit.errors import InputError, SealError
from keys.wiping import Unshared, wiped
from keys.wrapping import (
    DATA_KEY_BYTES,
    WRAP_SALT_BYTES,
    Stanza,
    binary_field,
    unwrap_data_key,
    wrap_data_key,
)

# OpenSSL computes the lanes in one pool of threads for the whole process: two derivations at a time
# wait for each other's threads for ever (seen with OpenSSL 3 in cryptography 50).
_ONE_AT_A_TIME = threading.Lock()


class Recipient(Protocol):
    """Somebody something is sealed for."""

    def wrap(self, data_key: bytes | bytearray) -> Stanza:
        """The stanza by which this recipient gets at ``data_key`` (32 bytes)."""


class Opener(Protocol):
    """Something that opens stanzas of one kind."""

    @property
    def kind(self) -> str:
        """Which stanzas it may open."""

    def unwrap(self, stanza: Stanza) -> bytearray:
        """The data key (32 bytes, to be wiped); raises `PassphraseError` or `SealError`."""


class Lock(Recipient, Opener, Protocol):
    """What both seals and opens: a passphrase, an entry of the OS keyring, a recovery key."""


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
class Passphrase(Unshared):
    """Wraps with Argon2id (RFC 9106) and AES-256-GCM; a `Lock`."""

    secret: bytes = field(repr=False)
    cost: Argon2Cost = Argon2Cost()

    @property
    def kind(self) -> str:
        """The stanzas of passphrases."""
        return "argon2id"

    def wrap(self, data_key: bytes | bytearray) -> Stanza:
        """A stanza with a fresh salt; raises `InputError` for a cost out of bounds."""
        if not self.cost.is_bounded():
            raise InputError(f"{self.cost} is out of bounds")
        salt = os.urandom(WRAP_SALT_BYTES)
        with wiped(self._key(salt, self.cost)) as key:
            wrapped = wrap_data_key(key, data_key, self.kind)
        return {
            "kind": self.kind,
            "lanes": self.cost.lanes,
            "memory_kib": self.cost.memory_kib,
            "passes": self.cost.passes,
            "salt": salt.hex(),
            "wrapped": wrapped,
        }

    def unwrap(self, stanza: Stanza) -> bytearray:
        """The data key; raises `PassphraseError`, or `SealError` for a malformed stanza."""
        cost = _bounded_cost(stanza)
        salt = binary_field(stanza, "salt", WRAP_SALT_BYTES)
        with wiped(self._key(salt, cost)) as key:
            return unwrap_data_key(key, stanza, self.kind)

    def _key(self, salt: bytes, cost: Argon2Cost) -> bytearray:
        from cryptography.hazmat.primitives.kdf.argon2 import Argon2id

        key = bytearray(32)
        function = Argon2id(
            salt=salt,
            length=len(key),
            iterations=cost.passes,
            lanes=cost.lanes,
            memory_cost=cost.memory_kib,
        )
        with _ONE_AT_A_TIME:
            function.derive_into(self.secret, key)
        return key


def _bounded_cost(stanza: Stanza) -> Argon2Cost:
    fields = {name: stanza.get(name) for name in ("memory_kib", "passes", "lanes")}
    numbers = {name: value for name, value in fields.items() if type(value) is int}
    cost = Argon2Cost(**numbers)
    if len(numbers) != len(fields) or not cost.is_bounded():
        raise SealError(f"the passphrase's stanza asks for an unacceptable cost: {fields!r:.200}")
    return cost


__all__ = [
    "DATA_KEY_BYTES",
    "Argon2Cost",
    "Lock",
    "Opener",
    "Passphrase",
    "Recipient",
    "Stanza",
]
