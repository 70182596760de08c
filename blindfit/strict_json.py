"""JSON without repeated keys, and with one form for each document.

Of two equal keys ``json`` keeps the last; another reader may see the first, or both. Then what was
checked would not be what is used.
"""

from __future__ import annotations

import json
import math
from typing import Any, NoReturn


def loads_strict(document: bytes | str) -> Any:
    """What ``json.loads`` returns; raises ValueError for anything else.

    That is also for a repeated key, a number that is not finite, and nesting that is too deep.
    """
    try:
        return json.loads(
            document, object_pairs_hook=_unique, parse_constant=_refuse, parse_float=_finite
        )
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error


def canonical(document: Any) -> bytes:
    """The one form that is signed, hashed or compared: keys sorted, no white space, ASCII."""
    return json.dumps(document, sort_keys=True, separators=(",", ":")).encode("ascii")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    content = dict(pairs)
    if len(content) != len(pairs):
        raise ValueError("a key is repeated")
    return content


def _finite(digits: str) -> float:
    number = float(digits)
    if not math.isfinite(number):
        raise ValueError(f"{digits} is too large a number")
    return number


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not a number")
