"""The operating system's keyring as the lock of a store: no passphrase, no file that opens it.

The keyring (Secret Service, KWallet, macOS Keychain, Windows Credential Locker, by the ``keyring``
package) holds a random secret of 32 bytes. Whoever runs programs as the logged-in user gets it.
"""

from __future__ import annotations

import os
import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Self

from blindfit.errors import PassphraseError, SealError, UnavailableError
from keys.stanzas import Stanza
from keys.wiping import wiped
from keys.wrapping import (
    WRAP_SALT_BYTES,
    binary_field,
    unwrap_data_key,
    wrap_context,
    wrap_data_key,
)

if TYPE_CHECKING:
    from keyring.backend import KeyringBackend

KIND: Final = "keyring"
SERVICE: Final = "blindfit"
_SECRET_BYTES: Final = 32
_ENTRY: Final = re.compile(r"[0-9a-f]{32}")
# They keep nothing, or keep it in a file without protection.
_REFUSED_BACKENDS: Final = ("keyring.backends.fail", "keyring.backends.null", "keyrings.alt")


@dataclass(frozen=True, slots=True)
class KeyringEntry:
    """The secret of one store in the OS keyring, named by 32 hex digits; a `Lock`."""

    entry_id: str

    def __post_init__(self) -> None:
        if not _ENTRY.fullmatch(self.entry_id):
            raise SealError("an entry of the OS keyring is named by 32 hex digits")

    @classmethod
    def create(cls) -> Self:
        """A new entry with a new secret; raises `UnavailableError` where there is no keyring."""
        entry, secret = cls(secrets.token_hex(16)), secrets.token_hex(_SECRET_BYTES)
        with _keyring() as backend:
            backend.set_password(SERVICE, entry.entry_id, secret)
            kept = backend.get_password(SERVICE, entry.entry_id)
        if kept != secret:
            raise UnavailableError("the OS keyring did not keep the secret", hint=_HINT)
        return entry

    @classmethod
    def of(cls, stanza: Stanza) -> Self:
        """The entry that a stanza names; raises `SealError`."""
        return cls(binary_field(stanza, "entry", 16).hex())

    @property
    def kind(self) -> str:
        """The stanzas of the OS keyring."""
        return KIND

    def wrap(self, data_key: bytes | bytearray) -> Stanza:
        """A stanza with a fresh salt; raises `UnavailableError` or `PassphraseError`."""
        salt = os.urandom(WRAP_SALT_BYTES)
        with wiped(self._key(salt)) as key:
            wrapped = wrap_data_key(key, data_key, KIND)
        return {"entry": self.entry_id, "kind": KIND, "salt": salt.hex(), "wrapped": wrapped}

    def unwrap(self, stanza: Stanza) -> bytearray:
        """The data key; raises as `wrap`, and `SealError` for a malformed stanza."""
        if KeyringEntry.of(stanza) != self:
            raise PassphraseError("the keys are locked by another entry of the OS keyring")
        with wiped(self._key(binary_field(stanza, "salt", WRAP_SALT_BYTES))) as key:
            return unwrap_data_key(key, stanza, KIND)

    def delete(self) -> None:
        """Remove the secret, after the store has another lock: nothing opens by it any more."""
        with _keyring() as backend:
            if backend.get_password(SERVICE, self.entry_id) is not None:
                backend.delete_password(SERVICE, self.entry_id)

    def _key(self, salt: bytes) -> bytearray:
        from cryptography.hazmat.primitives.hashes import SHA256
        from cryptography.hazmat.primitives.kdf.hkdf import HKDF

        key = bytearray(32)
        with wiped(self._secret()) as secret:
            kdf = HKDF(SHA256(), len(key), salt=salt, info=wrap_context(KIND))
            kdf.derive_into(secret, key)
        return key

    def _secret(self) -> bytearray:
        with _keyring() as backend:
            text = backend.get_password(SERVICE, self.entry_id)
        try:
            secret = bytearray.fromhex(text or "")
        except ValueError:
            secret = bytearray()
        if len(secret) != _SECRET_BYTES:
            raise PassphraseError(
                f"the OS keyring has no usable secret {SERVICE}/{self.entry_id}",
                hint="log in as the user who made it, or lock the keys anew with "
                "`blindfit-keys passphrase --recovery-key FILE`",
            )
        return secret


_HINT: Final = "unlock the keyring of your desktop, or lock the keys by a passphrase instead"


@contextmanager
def _keyring() -> Iterator[KeyringBackend]:
    from keyring.errors import KeyringError

    try:
        yield _trusted_backend()
    except (KeyringError, OSError, RuntimeError, ImportError) as error:
        raise UnavailableError(
            f"the OS keyring refused: {type(error).__name__}", hint=_HINT
        ) from error


def _trusted_backend() -> KeyringBackend:
    import keyring

    active = keyring.get_keyring()
    # A chain of keyrings falls through to the next one, which may be a file in clear.
    candidates: list[KeyringBackend] = list(getattr(active, "backends", None) or [active])
    for backend in candidates:
        if not type(backend).__module__.startswith(_REFUSED_BACKENDS):
            return backend
    raise UnavailableError("this machine has no OS keyring that protects a secret", hint=_HINT)


__all__ = ["KIND", "SERVICE", "KeyringEntry"]
