"""Recovery keys: what opens a store whose passphrase is lost, kept away from the machine.

HPKE (RFC 9180) in base mode: DHKEM(X25519, HKDF-SHA256), HKDF-SHA256, AES-256-GCM. The public half
(`RecoveryRecipient`) is enough to seal; the private half (`RecoveryKey`) is a file of one line.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self

from blindfit.errors import InputError, PassphraseError
from blindfit.files import write_exclusive
from keys.private import open_private
from keys.recovery_text import decode_key, encode_key
from keys.stanzas import DATA_KEY_BYTES, Stanza
from keys.wiping import Unshared
from keys.wrapping import binary_field, wrap_context, wrapped_field

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
    from cryptography.hazmat.primitives.hpke import Suite

KIND: Final = "x25519-hpke"
_PUBLIC_PREFIX: Final = "blindfit-recovery-"
_PRIVATE_PREFIX: Final = "blindfit-secret-recovery-key-"
_KEY_BYTES: Final = 32
_MAX_FILE_BYTES: Final = 4096


@dataclass(frozen=True, slots=True)
class RecoveryRecipient:
    """The public half of a recovery key, 32 bytes of X25519; a `Recipient`.

    ``str`` gives its text form, which `parse` reads.
    """

    public: bytes

    @classmethod
    def parse(cls, text: str) -> Self:
        """The recipient from its text; raises `InputError` for a typing error or a weak key."""
        if text.strip().lower().startswith(_PRIVATE_PREFIX):
            raise InputError(
                "this is the SECRET recovery key; what is needed is its public text",
                hint="make another with `blindfit-keys recipients new FILE`: this one may be in "
                "your shell's history now",
            )
        recipient = cls(decode_key(_PUBLIC_PREFIX, text.strip()))
        recipient.wrap(bytes(DATA_KEY_BYTES))  # refuses a point of small order here and not later
        return recipient

    def wrap(self, data_key: bytes | bytearray) -> Stanza:
        """A stanza that only the private half opens; raises `InputError` for a weak key."""
        from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PublicKey

        try:
            public = X25519PublicKey.from_public_bytes(self.public)
            sealed = _suite().encrypt(data_key, public, wrap_context(KIND))
        except ValueError as error:
            raise InputError(
                "the recovery recipient is not a usable X25519 key",
                hint="make one with `blindfit-keys recipients new FILE`",
            ) from error
        return {
            "encapsulated": sealed[:_KEY_BYTES].hex(),
            "kind": KIND,
            "recipient": self.public.hex(),
            "wrapped": sealed[_KEY_BYTES:].hex(),
        }

    def __str__(self) -> str:
        return encode_key(_PUBLIC_PREFIX, self.public)


@dataclass(frozen=True, slots=True)
class RecoveryKey(Unshared):
    """The private half, 32 bytes of X25519; a `Lock`."""

    secret: bytes = field(repr=False)

    @classmethod
    def generate(cls) -> Self:
        """A new key."""
        from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

        return cls(X25519PrivateKey.generate().private_bytes_raw())

    @classmethod
    def read(cls, path: Path) -> Self:
        """The key from a file of mode 0600.

        Raises FileNotFoundError, `AccessError` if others may read it, `InputError` if it is none.
        """
        with open_private(path) as file:
            content = file.read(_MAX_FILE_BYTES + 1)
        try:
            lines = content.decode("ascii").splitlines() if len(content) <= _MAX_FILE_BYTES else []
        except UnicodeDecodeError:
            lines = []
        found = [line.strip() for line in lines if line.strip() and not line.startswith("#")]
        if len(found) != 1:
            raise InputError(f"{path} is not a recovery key file: one line holds the key")
        return cls(decode_key(_PRIVATE_PREFIX, found[0]))

    def write(self, path: Path) -> None:
        """Make the file (0600); raises FileExistsError rather than overwrite another key."""
        write_exclusive(
            path,
            "# A recovery key of Blindfit: it opens every keyset and backup that was sealed for\n"
            f"# {self.recipient}\n"
            "# Keep it offline, away from the keys. Who has both reads your predictions.\n"
            f"{encode_key(_PRIVATE_PREFIX, self.secret)}\n".encode("ascii"),
        )

    @property
    def kind(self) -> str:
        """The stanzas of recovery recipients."""
        return KIND

    @property
    def recipient(self) -> RecoveryRecipient:
        """The public half."""
        return RecoveryRecipient(self._private().public_key().public_bytes_raw())

    def wrap(self, data_key: bytes | bytearray) -> Stanza:
        """As its `recipient` does."""
        return self.recipient.wrap(data_key)

    def unwrap(self, stanza: Stanza) -> bytearray:
        """The data key; raises `PassphraseError`, or `SealError` for a malformed stanza."""
        from cryptography.exceptions import InvalidTag

        named = binary_field(stanza, "recipient", _KEY_BYTES)
        sealed = binary_field(stanza, "encapsulated", _KEY_BYTES) + wrapped_field(stanza)
        if named != self.recipient.public:
            raise _refused()
        try:
            return bytearray(_suite().decrypt(sealed, self._private(), wrap_context(KIND)))
        except (InvalidTag, ValueError) as error:
            raise _refused() from error

    def _private(self) -> X25519PrivateKey:
        from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

        return X25519PrivateKey.from_private_bytes(self.secret)


def _suite() -> Suite:
    from cryptography.hazmat.primitives.hpke import AEAD, KDF, KEM, Suite

    return Suite(KEM.X25519, KDF.HKDF_SHA256, AEAD.AES_256_GCM)


def _refused() -> PassphraseError:
    return PassphraseError(
        "this recovery key does not open the keys",
        hint="use the file of a recipient that it was sealed for; where there are keys, "
        "`blindfit-keys recipients list` names them",
    )


__all__ = ["KIND", "RecoveryKey", "RecoveryRecipient"]
