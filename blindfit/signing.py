"""Ed25519 signatures over manifests, with the publisher's key."""

from __future__ import annotations

import hashlib

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from blindfit.errors import BundleError

_CONTEXT = b"blindfit bundle manifest v1\n"


def sign_manifest(key: Ed25519PrivateKey, manifest: bytes) -> bytes:
    """The 64-byte signature of ``manifest``, bound to its purpose."""
    return key.sign(_CONTEXT + manifest)


def verify_manifest(publisher_key: str, manifest: bytes, signature: bytes) -> None:
    """Raise `BundleError` unless the publisher (32 raw bytes, in hex) signed ``manifest``."""
    try:
        key = Ed25519PublicKey.from_public_bytes(bytes.fromhex(publisher_key))
        key.verify(signature, _CONTEXT + manifest)
    except (InvalidSignature, ValueError) as error:
        raise BundleError("the bundle is not signed by the pinned publisher key") from error


def fingerprint(public_key: bytes) -> str:
    """A short name of a public key for people to compare: 128 bits of SHA-256, in groups."""
    digest = hashlib.sha256(public_key).hexdigest()[:32]
    return ":".join(digest[i : i + 4] for i in range(0, 32, 4))
