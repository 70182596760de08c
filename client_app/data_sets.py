"""A participant's data sets by name: each has a privacy account of its own.

Imports nothing heavy: command lines need the default's name.
"""

from __future__ import annotations

import re
from pathlib import Path

from blindfit.errors import InputError

DEFAULT_DATASET = "default"  # the rows of whoever names none

_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")


def account_folder(home: Path, dataset: str = DEFAULT_DATASET) -> Path:
    """Where ``home`` keeps the account of ``dataset``.

    Raises `InputError` for a name that is not lower-case letters, digits and hyphens.
    """
    if not _NAME.fullmatch(dataset):
        raise InputError(
            f"{dataset!r:.80} does not name a data set",
            hint="use lower-case letters, digits and hyphens, at most 63",
        )
    folder = home / "privacy"
    return folder if dataset == DEFAULT_DATASET else folder / "datasets" / dataset


__all__ = ["DEFAULT_DATASET", "account_folder"]
