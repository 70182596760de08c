"""Who may take part in a training: enrolled tenants and keys given as files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from blindfit.errors import InputError
from server_app.tenants import normal_participant_key, participant_keys


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
