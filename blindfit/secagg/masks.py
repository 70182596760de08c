"""Masks: a key of 32 bytes becomes uniform words that are added modulo 2^64."""

from __future__ import annotations

import numpy as np
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import ChaCha20
from numpy.typing import NDArray

from blindfit.secagg.round_id import RoundId

Words = NDArray[np.uint64]
_WORD = np.dtype("<u8")
# Every key masks once, so the nonce may be the same: 8 bytes of counter and 8 of nonce.
_NONCE = bytes(16)


def expand(key: bytes, length: int) -> Words:
    """``length`` words from ``key`` (ChaCha20, RFC 8439)."""
    stream = Cipher(ChaCha20(key, _NONCE), mode=None).encryptor()
    return np.frombuffer(stream.update(bytes(length * _WORD.itemsize)), _WORD).astype(np.uint64)


def mask_private_key(round_id: RoundId, seed: bytes) -> X25519PrivateKey:
    """The X25519 key whose shared secrets mask; the 16 bytes of ``seed`` are what is shared out."""
    return X25519PrivateKey.from_private_bytes(round_id.derive(seed, "mask private key"))


def pairwise_mask(
    round_id: RoundId,
    private: X25519PrivateKey,
    public: X25519PublicKey,
    pair: tuple[int, int],
    binding: bytes,
    length: int,
) -> Words:
    """What participant ``pair[0]`` adds for ``pair[1]``; the two cancel out in the sum.

    They do so only if both were asked the same, which ``binding`` (32 bytes) stands for: or a
    coordinator could send all but one a model that makes their updates vanish (Pasquini, Francati
    and Ateniese 2022, Eluding Secure Aggregation in Federated Learning via Model Inconsistency).
    """
    low, high = sorted(pair)
    more = low.to_bytes(4, "big") + high.to_bytes(4, "big") + binding
    words = expand(round_id.derive(private.exchange(public), "pairwise mask", more), length)
    return words if pair[0] == low else np.negative(words)


def self_mask(round_id: RoundId, seed: bytes, length: int) -> Words:
    """What a participant adds for itself, until those who got shares of ``seed`` give it away."""
    return expand(round_id.derive(seed, "self mask"), length)


def to_bytes(words: Words) -> bytes:
    """Words as they are sent: 8 bytes each, little-endian."""
    return words.astype(_WORD).tobytes()


def from_bytes(data: bytes, length: int) -> Words:
    """Sent words; raises ValueError unless there are exactly ``length``."""
    if len(data) != length * _WORD.itemsize:
        raise ValueError(f"{len(data)} bytes; {length} words have {length * _WORD.itemsize}")
    return np.frombuffer(data, _WORD).astype(np.uint64)


__all__ = [
    "Words",
    "expand",
    "from_bytes",
    "mask_private_key",
    "pairwise_mask",
    "self_mask",
    "to_bytes",
]
