"""Which studies this home's operator has accepted, by digest: a study is read once, then kept."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

from blindfit.errors import InputError
from blindfit.files import private_folder, write_atomic
from blindfit.study import Study


def study_folder(home: Path, study: Study) -> Path:
    """Where a home keeps what belongs to one study, by its digest."""
    return home / "studies" / study.digest


def is_accepted(home: Path, study: Study) -> bool:
    """Whether this very study was accepted before."""
    return (study_folder(home, study) / "accepted.json").is_file()


def accepted_name(home: Path, digest: str) -> str:
    """What an accepted study is called; empty if nothing is noted about it."""
    try:
        note = json.loads((home / "studies" / digest / "accepted.json").read_bytes())
    except (OSError, ValueError):
        return ""
    return str(note.get("name", "")) if isinstance(note, dict) else ""


def accept(home: Path, study: Study) -> None:
    """Note that this very study was accepted."""
    folder = private_folder(study_folder(home, study))
    note = {"name": study.name, "accepted": datetime.now(UTC).isoformat(timespec="seconds")}
    write_atomic(folder / "accepted.json", json.dumps(note).encode())


def require_same(study: Study, digest: str) -> None:
    """Raises `InputError` unless ``digest`` is the study's.

    All of it: who writes two studies finds two with the same beginning.
    """
    if digest.strip().lower() != study.digest:
        raise InputError(
            f"--accept names another study: this one is {study.digest}",
            hint="compare the digest with the one that the coordinator told you",
        )


__all__ = ["accept", "accepted_name", "is_accepted", "require_same", "study_folder"]
