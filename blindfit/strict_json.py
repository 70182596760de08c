"""JSON without repeated keys.

Of two equal keys ``json`` keeps the last; another reader may see the first, or both. Then what was
checked would not be what is used.
"""

from __future__ import annotations

import json
from typing import Any, NoReturn


def loads_strict(document: bytes | str) -> Any:
    """What ``json.loads`` returns; raises ValueError for a repeated key or a non-finite number."""
    return json.loads(document, object_pairs_hook=_unique, parse_constant=_refuse)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    content = dict(pairs)
    if len(content) != len(pairs):
        raise ValueError("a key is repeated")
    return content


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not a number")
