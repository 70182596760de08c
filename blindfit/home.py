"""Where the state of a command lives: ``--home``, else ``$BLINDFIT_HOME``, else the user's data."""

from __future__ import annotations

import os
from pathlib import Path

from blindfit.errors import InputError


def resolve_home(option: Path | None) -> Path:
    """The home folder, absolute; it need not exist yet. Raises `InputError` if it is a file."""
    if option is None:
        named = os.environ.get("BLINDFIT_HOME")
        if named:
            option = Path(named)
        else:
            from platformdirs import user_data_path

            option = user_data_path("blindfit")
    home = option.expanduser().resolve()
    if home.exists() and not home.is_dir():
        raise InputError(f"{home} is not a folder", hint="pass another one with --home")
    return home
