"""Two shares on their way from one participant to another, through the coordinator.

AES-256-GCM under a key of the two participants' X25519 keys of this round. Each direction has its
own key, which encrypts once: so the nonce may be fixed.
"""

from __future__ import annotations

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from blindfit.secagg.round_id import RoundId
from blindfit.secagg.sharing import SECRET_BYTES

ENVELOPE_BYTES = 2 * SECRET_BYTES + 16
_NONCE = bytes(12)


def seal_shares(
    round_id: RoundId,
    private: X25519PrivateKey,
    public: X25519PublicKey,
    way: tuple[int, int],
    shares: tuple[bytes, bytes],
) -> bytes:
    """Shares of the mask key's and the self mask's seed from ``way[0]`` for ``way[1]``."""
    key = _key(round_id, private, public, way)
    return AESGCM(key).encrypt(_NONCE, b"".join(shares), round_id.context("envelope"))


def open_shares(
    round_id: RoundId,
    private: X25519PrivateKey,
    public: X25519PublicKey,
    way: tuple[int, int],
    envelope: bytes,
) -> tuple[bytes, bytes]:
    """The shares again; raises ValueError unless they come from ``way[0]`` for ``way[1]``."""
    key = _key(round_id, private, public, way)
    try:
        shares = AESGCM(key).decrypt(_NONCE, envelope, round_id.context("envelope"))
    except InvalidTag as error:
        raise ValueError("the envelope does not open") from error
    if len(shares) != 2 * SECRET_BYTES:
        raise ValueError("the envelope does not hold two shares")
    return shares[:SECRET_BYTES], shares[SECRET_BYTES:]


def _key(
    round_id: RoundId, private: X25519PrivateKey, public: X25519PublicKey, way: tuple[int, int]
) -> bytes:
    direction = b"".join(index.to_bytes(4, "big") for index in way)
    return round_id.derive(private.exchange(public), "envelope key", direction)


__all__ = ["ENVELOPE_BYTES", "open_shares", "seal_shares"]
