"""The journal of a rotation: which step is finished, so that another process can go on.

One file for each rotation that is going on, replaced atomically and signed by the store's key:
whoever can write the folder cannot have another key activated or an old one destroyed. The file
goes when the rotation is over; what happened stays in the audit log.
"""

from __future__ import annotations

import re
import secrets
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any, Final

from blindfit.errors import IntegrityError
from blindfit.strict_json import canonical, loads_strict

PURPOSE: Final = "rotation journal"
_ID = re.compile(r"[0-9a-f]{16}")
_DIGEST = re.compile(r"[0-9a-f]{64}")


class Kind(StrEnum):
    """What a journal is about."""

    CREATE = "create"
    ROTATE = "rotate"
    COMPROMISE = "compromise"


@dataclass(frozen=True, slots=True)
class Journal:
    """How far a rotation is.

    ``models`` get the new key. ``step`` is the last finished one, empty before the first.
    ``version`` and ``bundle_digest`` (SHA-256 of the manifest) tell what the key is proven with;
    ``grace`` is in seconds, ``started`` and ``drain_until`` are ISO 8601 in UTC.
    """

    rotation_id: str
    kind: Kind
    models: tuple[str, ...]
    params_id: str
    old_key_id: str | None
    started: str
    grace: int
    version: int = 0
    bundle_digest: str = ""
    new_key_id: str | None = None
    step: str = ""
    drain_until: str | None = None

    @property
    def age(self) -> timedelta:
        """Since when it is going on."""
        return datetime.now(UTC) - datetime.fromisoformat(self.started)


def new_journal(
    kind: Kind, models: tuple[str, ...], params_id: str, old_key_id: str | None, grace: timedelta
) -> Journal:
    """A journal that begins now, with a random id."""
    return Journal(
        rotation_id=secrets.token_hex(8),
        kind=kind,
        models=models,
        params_id=params_id,
        old_key_id=old_key_id,
        started=now_text(),
        grace=round(grace.total_seconds()),
    )


def now_text(later: timedelta = timedelta(0)) -> str:
    """The time now, or ``later``, as a journal writes it."""
    return (datetime.now(UTC) + later).isoformat(timespec="seconds")


def encode_journal(journal: Journal) -> bytes:
    """What is signed: canonical JSON, keys sorted, no white space, ASCII."""
    return canonical(asdict(journal))


def decode_journal(content: bytes) -> Journal:
    """The journal in its signed bytes; raises `IntegrityError`."""
    try:
        document = loads_strict(content)
        document["kind"], document["models"] = Kind(document["kind"]), tuple(document["models"])
        journal = Journal(**document)
        _require_form(journal)
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise IntegrityError(
            f"a rotation's journal is damaged: {error}",
            hint="remove it from keys/rotations, and rotate again",
        ) from error
    return journal


def _require_form(journal: Journal) -> None:
    digests = [journal.params_id, journal.old_key_id, journal.new_key_id]
    well_formed = (
        _ID.fullmatch(journal.rotation_id)
        and journal.models
        and all(isinstance(model, str) for model in journal.models)
        and all(_DIGEST.fullmatch(digest) for digest in digests if digest is not None)
        and all(_is_whole(number) for number in (journal.grace, journal.version))
        and isinstance(journal.step, str)
        and isinstance(journal.bundle_digest, str)
    )
    if not well_formed:
        raise ValueError("a field is malformed")
    for text in (journal.started, journal.drain_until or journal.started):
        if datetime.fromisoformat(text).tzinfo is None:
            raise ValueError("a time has no time zone")


def _is_whole(number: Any) -> bool:
    return type(number) is int and number >= 0


__all__ = [
    "PURPOSE",
    "Journal",
    "Kind",
    "decode_journal",
    "encode_journal",
    "new_journal",
    "now_text",
]
