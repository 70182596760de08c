"""Which round of which run of which study: it is in every key derivation and every signature."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

_PROTOCOL = b"blindfit secagg v1"
RUN_BYTES = 16
KEY_BYTES = 32


@dataclass(frozen=True)
class RoundId:
    """A round's identity.

    ``study`` is the study's digest (hex), ``run`` 16 bytes that the coordinator drew for this
    training (hex), and ``round`` counts from 1. A round that failed has used up its number: no two
    sums share a derivation, and none is unmasked twice.
    """

    study: str
    run: str
    round: int

    def context(self, purpose: str) -> bytes:
        """Bytes that no other round and no other purpose has; every part has a fixed length."""
        return b"".join(
            (
                hashlib.sha256(_PROTOCOL + b"\n" + purpose.encode()).digest(),
                bytes.fromhex(self.study),
                bytes.fromhex(self.run),
                self.round.to_bytes(8, "big"),
            )
        )

    def derive(self, secret: bytes, purpose: str, more: bytes = b"") -> bytes:
        """32 bytes from ``secret`` for ``purpose`` in this round (HKDF-SHA256, RFC 5869)."""
        kdf = HKDF(hashes.SHA256(), KEY_BYTES, salt=None, info=self.context(purpose) + more)
        return kdf.derive(secret)


__all__ = ["KEY_BYTES", "RUN_BYTES", "RoundId"]
