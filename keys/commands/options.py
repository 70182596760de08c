"""Options and arguments that several subcommands take."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from blindfit.errors import InputError

if TYPE_CHECKING:
    from keys.recovery import RecoveryKey

KeyArgument = Annotated[str, typer.Argument(help="The key_id, or the first digits of it.")]
ModelOption = Annotated[str, typer.Option("--model", "-m", help="The model that the key is for.")]
RecoveryKeyOption = Annotated[
    Path | None,
    typer.Option("--recovery-key", help="Open by this recovery key file, not the passphrase."),
]
NewPassphraseFileOption = Annotated[
    Path | None,
    typer.Option("--new-passphrase-file", help="Read the new passphrase from its first line."),
]


def read_recovery_key(path: Path) -> RecoveryKey:
    """The recovery key in a file; raises `InputError` or `AccessError`."""
    from keys.recovery import RecoveryKey

    try:
        return RecoveryKey.read(path)
    except OSError as error:
        raise InputError(f"cannot read the recovery key {path}: {error.strerror}") from error


__all__ = [
    "KeyArgument",
    "ModelOption",
    "NewPassphraseFileOption",
    "RecoveryKeyOption",
    "read_recovery_key",
]
