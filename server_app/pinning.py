"""Writing a study's participants into its file: from then on nobody can invent any."""

from __future__ import annotations

import json
from pathlib import Path

from blindfit.errors import InputError
from blindfit.files import PUBLIC, write_atomic
from blindfit.roster import Roster
from blindfit.secagg.group import Group
from blindfit.study import Study, load_study, parse_study


def pin_participants(path: Path, roster: Roster) -> Study:
    """Add ``roster`` to the study in ``path``; returns the study that it is now.

    Raises `InputError` for a study that names participants already, and `StudyError` for a
    threshold that these cannot meet; the file stays as it is then.
    """
    study = load_study(path)
    if study.participants:
        raise InputError(
            f"{path} names its participants already",
            hint="take its [[participants]] out to name others; it is another study then",
        )
    text = path.read_text(encoding="utf-8").rstrip("\n") + "\n"
    for member in roster.members:
        # A JSON text is also a TOML text.
        text += f"\n[[participants]]\nname = {json.dumps(member.name)}\n"
        text += f"key = {json.dumps(member.key)}\n"
    pinned = parse_study(text, source=str(path))
    if pinned.privacy.secure_aggregation:
        Group.of(pinned, roster)
    write_atomic(path, text.encode(), PUBLIC)
    return pinned


__all__ = ["pin_participants"]
