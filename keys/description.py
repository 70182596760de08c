"""What is public about a keyset: its names, its age and its sizes, with one canonical form."""

from __future__ import annotations

import json
import re
from dataclasses import asdict, dataclass, fields
from datetime import datetime
from typing import Any

from blindfit.errors import SealError
from blindfit.strict_json import canonical

MAX_KEY_BYTES = 1 << 32  # either half of a keyset; a tree's evaluation keys take about 2**26
_DIGEST = re.compile(r"[0-9a-f]{64}")
_SALT = re.compile(r"[0-9a-f]{32}")
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", re.ASCII)


@dataclass(frozen=True, slots=True)
class KeysetDescription:
    """The public facts of a keyset.

    ``salt`` is in hex (16 bytes), ``created`` in UTC to the second, ``model_digest`` the SHA-256 of
    the ``client.zip`` that it was generated from, both sizes are in bytes.
    """

    key_id: str
    params_id: str
    model_digest: str
    salt: str
    created: str
    secret_bytes: int
    evaluation_bytes: int


_MEMBERS = {field.name for field in fields(KeysetDescription)}


def encode_description(description: KeysetDescription) -> bytes:
    """Canonical JSON: keys sorted, no white space, ASCII."""
    return canonical(asdict(description))


def decode_description(encoded: bytes) -> KeysetDescription:
    """The description in its canonical JSON; raises `SealError` for anything else."""
    try:
        description = _checked(json.loads(encoded))
    except (ValueError, TypeError, RecursionError) as error:
        raise SealError(f"the keyset's header is damaged: {error}") from error
    # One description has one encoding: nothing can hide in white space or repeated keys.
    if encode_description(description) != encoded:
        raise SealError("the keyset's header is not in its canonical form")
    return description


def _checked(document: Any) -> KeysetDescription:
    if not isinstance(document, dict) or set(document) != _MEMBERS:
        raise ValueError("its members are not those of a keyset")  # and their names stay unprinted
    description = KeysetDescription(**document)
    patterns = {
        "key_id": _DIGEST,
        "params_id": _DIGEST,
        "model_digest": _DIGEST,
        "salt": _SALT,
        "created": _TIME,
    }
    for name, pattern in patterns.items():
        if not pattern.fullmatch(getattr(description, name)):
            raise ValueError(f"{name} is malformed")
    datetime.strptime(description.created, "%Y-%m-%dT%H:%M:%SZ")
    _require_size("secret_bytes", description.secret_bytes, lowest=1)
    _require_size("evaluation_bytes", description.evaluation_bytes, lowest=0)
    return description


def _require_size(name: str, value: object, *, lowest: int) -> None:
    if type(value) is not int or not lowest <= value <= MAX_KEY_BYTES:
        raise ValueError(f"{name} must be a whole number from {lowest} to {MAX_KEY_BYTES}")


__all__ = [
    "MAX_KEY_BYTES",
    "KeysetDescription",
    "decode_description",
    "encode_description",
]
