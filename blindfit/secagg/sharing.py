"""Secrets of 16 bytes that any ``threshold`` of several holders can put together (Shamir 1979)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from Crypto.Protocol.SecretSharing import Shamir

SECRET_BYTES = 16


def split(secret: bytes, threshold: int, holders: Sequence[int]) -> dict[int, bytes]:
    """A share of 16 bytes for each of ``holders``, in GF(2^128); its place is its coordinate."""
    shares = Shamir.split(threshold, len(holders), secret, False)
    return {holder: share for holder, (_, share) in zip(holders, shares, strict=True)}


def combine(shares: Mapping[int, bytes], threshold: int, holders: Sequence[int]) -> bytes:
    """The secret from ``threshold`` of the ``shares`` that ``holders`` got.

    Raises ValueError for too few. Wrong shares give a wrong secret: the caller can tell.
    """
    place = {holder: number for number, holder in enumerate(holders, 1)}
    points = [(place[holder], share) for holder, share in sorted(shares.items())]
    if len(points) < threshold:
        raise ValueError(f"{len(points)} shares; {threshold} are needed")
    secret: bytes = Shamir.combine(points[:threshold], False)
    return secret


__all__ = ["SECRET_BYTES", "combine", "split"]
