"""What participants sign with their long-term keys: the keys of a round, and who survived it.

ECDSA on P-384 with SHA-384. The coordinator relays these statements and cannot make one.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from blindfit.secagg.round_id import KEY_BYTES, RoundId

COMMITMENT_BYTES = 32
MAX_SIGNATURE_BYTES = 104  # of an ECDSA signature on P-384 in DER
_SCHEME = ec.ECDSA(hashes.SHA384())


@dataclass(frozen=True)
class Advertisement:
    """The keys that a participant will use in one round.

    ``cipher_key`` (X25519, 32 bytes) encrypts shares to it, ``mask_key`` (X25519) masks with it,
    ``commitment`` is SHA-256 of the seed of its self mask. ``revealed`` is the last round of the
    run of which it has revealed shares or still may (0 for none): of those between that one and
    this it never will.
    """

    cipher_key: bytes
    mask_key: bytes
    commitment: bytes
    revealed: int
    signature: bytes

    @classmethod
    def sign(
        cls,
        identity: ec.EllipticCurvePrivateKey,
        round_id: RoundId,
        keys: tuple[bytes, bytes, bytes],
        revealed: int,
    ) -> Advertisement:
        """An advertisement of ``keys`` (cipher key, mask key, commitment)."""
        signature = identity.sign(_advertised(round_id, keys, revealed), _SCHEME)
        return cls(*keys, revealed, signature)

    def is_of(self, key: ec.EllipticCurvePublicKey, round_id: RoundId) -> bool:
        """Whether the owner of ``key`` signed this for this round."""
        keys = (self.cipher_key, self.mask_key, self.commitment)
        if [len(part) for part in keys] != [KEY_BYTES, KEY_BYTES, COMMITMENT_BYTES]:
            return False
        if not 0 <= self.revealed < 1 << 63:
            return False
        return _verifies(key, self.signature, _advertised(round_id, keys, self.revealed))


def _advertised(round_id: RoundId, keys: tuple[bytes, bytes, bytes], revealed: int) -> bytes:
    return round_id.context("advertisement") + b"".join(keys) + revealed.to_bytes(8, "big")


def sign_survivors(
    identity: ec.EllipticCurvePrivateKey, round_id: RoundId, survivors: Collection[int], size: int
) -> bytes:
    """The statement that the masked inputs of exactly ``survivors`` are added up."""
    return identity.sign(_survived(round_id, survivors, size), _SCHEME)


def signed_survivors(
    key: ec.EllipticCurvePublicKey,
    signature: bytes,
    round_id: RoundId,
    survivors: Collection[int],
    size: int,
) -> bool:
    """Whether the owner of ``key`` signed these survivors for this round."""
    return _verifies(key, signature, _survived(round_id, survivors, size))


def _survived(round_id: RoundId, survivors: Collection[int], size: int) -> bytes:
    bits = bytearray(-(-size // 8))
    for index in survivors:
        bits[index >> 3] |= 1 << (index & 7)
    return round_id.context("survivors") + bytes(bits)


def _verifies(key: ec.EllipticCurvePublicKey, signature: bytes, message: bytes) -> bool:
    try:
        key.verify(signature, message, _SCHEME)
    except InvalidSignature:
        return False
    return True


__all__ = [
    "MAX_SIGNATURE_BYTES",
    "Advertisement",
    "sign_survivors",
    "signed_survivors",
]
