"""Ed25519 signatures of the store, each bound to one purpose.

What is signed is ``blindfit store v1 PURPOSE`` and a line feed, followed by the content: a
signature for one purpose is none for another.
"""

from __future__ import annotations

import re

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import (
    Ed25519PrivateKey as PrivateKey,
)
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from blindfit.errors import IntegrityError

_PURPOSE = re.compile(r"[a-z][a-z0-9 -]{0,63}")


def sign(key: PrivateKey, content: bytes, purpose: str) -> bytes:
    """The signature (64 bytes) of ``content`` for ``purpose`` (small letters, digits, spaces)."""
    return key.sign(_message(content, purpose))


def require_signature(public_key: bytes, content: bytes, signature: bytes, purpose: str) -> None:
    """Raises `IntegrityError` unless ``public_key`` (32 bytes) signed ``content`` for this."""
    try:
        key = Ed25519PublicKey.from_public_bytes(public_key)
        key.verify(signature, _message(content, purpose))
    except (InvalidSignature, ValueError) as error:
        raise IntegrityError(
            f"the {purpose} is not signed by this key store",
            hint="somebody or something changed it; compare with a backup",
        ) from error


def public_bytes(key: PrivateKey) -> bytes:
    """The public key (32 bytes)."""
    return key.public_key().public_bytes_raw()


def _message(content: bytes, purpose: str) -> bytes:
    if not _PURPOSE.fullmatch(purpose):
        raise ValueError(f"{purpose!r} cannot be the purpose of a signature")
    return b"blindfit store v1 " + purpose.encode() + b"\n" + content


__all__ = ["PrivateKey", "public_bytes", "require_signature", "sign"]
