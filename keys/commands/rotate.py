"""``blindfit-keys rotate``: which of its actions is meant."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Annotated

import typer

from blindfit.console import HomeOption, JsonOption, PassphraseFileOption
from blindfit.errors import InputError
from blindfit.home import resolve_home

RotationArgument = Annotated[
    str | None,
    typer.Argument(metavar="[ID]", help="With --resume or --abort: which, if there are several."),
]
DryRunOption = Annotated[
    bool, typer.Option("--dry-run", help="Check all that can be checked, and change nothing.")
]


@dataclass(frozen=True)
class Request:
    """What the command line asked for; ``as_json`` holds for every action."""

    home: Path
    passphrase_file: Path | None
    as_json: bool
    grace: timedelta
    if_older_than: timedelta | None
    dry_run: bool


def rotate(
    rotation: RotationArgument = None,
    model: Annotated[
        str | None, typer.Option("--model", "-m", help="Rotate the key of this model.")
    ] = None,
    all_keys: Annotated[
        bool, typer.Option("--all", help="Rotate every key that encrypts for a model.")
    ] = False,
    identity: Annotated[
        bool, typer.Option("--identity", help="Rotate the mTLS key and certificate.")
    ] = False,
    status: Annotated[
        bool, typer.Option("--status", help="Show the rotations that are not over.")
    ] = False,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with what was stopped.")] = False,
    abort: Annotated[
        bool, typer.Option("--abort", help="Give up a rotation, before its activation.")
    ] = False,
    dry_run: DryRunOption = False,
    if_older_than: Annotated[
        str | None,
        typer.Option(
            metavar="DURATION",
            help="Only what is older, such as 90d; by itself of all keys.",
        ),
    ] = None,
    grace: Annotated[
        str, typer.Option(metavar="DURATION", help="Wait at most this long for running sessions.")
    ] = "1h",
    home: HomeOption = None,
    passphrase_file: PassphraseFileOption = None,
    as_json: JsonOption = False,
) -> None:
    """Replace keys by new ones; predictions that run meanwhile do not fail.

    The old key is revoked when the sessions of this home have moved on, goes on decrypting, and is
    destroyed after 30 days. A rotation that was stopped is gone on with.
    """
    actions = {
        "--model": model is not None,
        "--all": all_keys or (if_older_than is not None and not (model or identity)),
        "--identity": identity,
        "--status": status,
        "--resume": resume,
        "--abort": abort,
    }
    action = _chosen(actions)
    _require_use(action, rotation, dry_run, if_older_than)
    request = Request(
        resolve_home(home),
        passphrase_file,
        as_json,
        _duration(grace),
        _duration(if_older_than) if if_older_than is not None else None,
        dry_run,
    )
    _act(action, request, model, rotation)


def _act(action: str, request: Request, model: str | None, rotation: str | None) -> None:
    from keys.commands import rotate_actions
    from keys.commands.rotate_identity import rotate_identity

    actions: dict[str, Callable[[], None]] = {
        "--model": lambda: rotate_actions.rotate_model(request, model or ""),
        "--all": lambda: rotate_actions.rotate_all(request),
        "--identity": lambda: rotate_identity(request),
        "--status": lambda: rotate_actions.show_status(request),
        "--resume": lambda: rotate_actions.resume(request, rotation),
        "--abort": lambda: rotate_actions.abort(request, rotation),
    }
    actions[action]()


def _chosen(actions: dict[str, bool]) -> str:
    chosen = [name for name, wanted in actions.items() if wanted]
    if len(chosen) != 1:
        raise InputError(f"give one of {', '.join(actions)}", hint="see --help")
    return chosen[0]


def _require_use(
    action: str, rotation: str | None, dry_run: bool, if_older_than: str | None
) -> None:
    if rotation is not None and action not in {"--resume", "--abort"}:
        raise InputError("the id of a rotation goes with --resume or --abort", hint="see --help")
    if dry_run and action not in {"--model", "--all"}:
        raise InputError("--dry-run goes with --model or --all", hint="see --help")
    if if_older_than is not None and action not in {"--model", "--all", "--identity"}:
        raise InputError(
            "--if-older-than goes with --model, --all or --identity", hint="see --help"
        )


def _duration(text: str) -> timedelta:
    from blindfit.durations import parse_duration

    return parse_duration(text)
