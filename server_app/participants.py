"""Who may take part in a training: enrolled tenants and keys given as files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from blindfit.errors import InputError
from blindfit.roster import Roster, make_roster, normal_participant_key
from blindfit.study import Study
from server_app.tenants import participant_keys


def training_roster(home: Path, study: Study, files: Sequence[Path]) -> Roster:
    """The study's own list of participants; without one, all that are known here.

    Raises `InputError` for keys in ``files`` beside a study that names its participants.
    """
    pinned = study.roster()
    if pinned is None:
        known = known_participants(home, files)
        if not known:
            raise InputError(
                "no participant is known", hint="invite them with `tenants invite --participant`"
            )
        return make_roster(known)
    if files:
        raise InputError(
            "the study names its participants, so --participant adds none",
            hint="leave it out, or add the participant to the study",
        )
    return pinned


def known_participants(home: Path, files: Sequence[Path]) -> dict[str, str]:
    """OpenSSH public keys by name; a file's name is its participant's.

    Raises `InputError` for a file that is not a P-384 key, and when a name or key comes twice.
    """
    participants = participant_keys(home)
    for file in files:
        try:
            key = normal_participant_key(file.read_text(encoding="ascii"))
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(f"cannot read {file}: {error}") from error
        if participants.get(file.stem, key) != key:
            raise InputError(f"two participants are called {file.stem}", hint="rename the file")
        participants[file.stem] = key
    if len(set(participants.values())) < len(participants):
        raise InputError("two participants have the same key; each needs its own")
    return participants
