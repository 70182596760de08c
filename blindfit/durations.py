"""Durations as people write them: ``30d``, ``12h``, ``45m``."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Final

from blindfit.errors import InputError

_FORM = re.compile(r"([0-9]{1,6})([smhdw])")
_SECONDS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}


def parse_duration(text: str) -> timedelta:
    """A number and a unit: s, m(inutes), h, d or w; raises `InputError` for anything else."""
    match = _FORM.fullmatch(text.strip())
    if match is None:
        raise InputError(
            f"{text!r} is not a duration", hint="write a number and a unit: 45m, 12h, 30d or 2w"
        )
    return timedelta(seconds=int(match[1]) * _SECONDS[match[2]])


__all__ = ["parse_duration"]
