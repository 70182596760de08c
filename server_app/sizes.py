"""Sizes as people write them."""

from __future__ import annotations

import re

from blindfit.errors import InputError

_UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}


def parse_size(text: str) -> int:
    """``"500M"``, ``"2GiB"`` or ``"4096"`` in bytes, by powers of 1024; raises `InputError`."""
    found = re.fullmatch(
        r"([0-9]{1,15})\s*([KMGT]?)(?:i?B)?", text.strip(), re.ASCII | re.IGNORECASE
    )
    if not found:
        raise InputError(f"{text!r} is not a size like 500M or 2GiB")
    return int(found[1]) * _UNITS[found[2].upper()]
