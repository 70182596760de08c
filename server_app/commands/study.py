"""`blindfit-server study`: what a study says, and who takes part in it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from blindfit.console import HomeOption, JsonOption, emit

if TYPE_CHECKING:
    from blindfit.roster import Roster
    from blindfit.study import Study

app = typer.Typer(no_args_is_help=True, help="What a study says, and who takes part in it.")
StudyArgument = Annotated[Path, typer.Argument(help="The study's TOML file.")]


@app.command()
def show(study: StudyArgument, as_json: JsonOption = False) -> None:
    """Print a study's digest and who takes part, for comparing with the participants."""
    from blindfit.study import load_study

    contract = load_study(study)
    emit(_document(contract), as_json, lambda: _print(contract))


@app.command()
def pin(
    study: StudyArgument,
    name: Annotated[
        list[str] | None,
        typer.Option("--name", help="An enrolled participant; repeatable [default: all]."),
    ] = None,
    participant: Annotated[
        list[Path] | None,
        typer.Option(help="A participant's public key, beside the enrolled ones; repeatable."),
    ] = None,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Write the participants' names and keys into the study.

    A participant of such a study masks its updates with these others only, so that the coordinator
    cannot invent any. Send the file to all of them: it is another study than before.
    """
    from blindfit.home import resolve_home
    from server_app.participants import known_participants
    from server_app.pinning import pin_participants

    known = known_participants(resolve_home(home), participant or [])
    contract = pin_participants(study, _chosen(known, name, participant or []))
    emit(_document(contract), as_json, lambda: _print(contract))


def _chosen(known: dict[str, str], names: list[str] | None, files: list[Path]) -> Roster:
    from blindfit.errors import InputError
    from blindfit.roster import make_roster

    wanted = set(known) if names is None else {*names, *(file.stem for file in files)}
    if unknown := wanted - set(known):
        raise InputError(
            f"no participant is called {', '.join(sorted(unknown))}",
            hint="see `blindfit-server tenants list`",
        )
    if not wanted:
        raise InputError(
            "no participant is known", hint="invite them with `tenants invite NAME --participant`"
        )
    return make_roster({each: known[each] for each in wanted})


def _document(study: Study) -> dict[str, Any]:
    from blindfit.roster import key_fingerprint

    return {
        "name": study.name,
        "digest": study.digest,
        "app": study.study.app,
        "participants": [
            {"name": member.name, "fingerprint": key_fingerprint(member)}
            for member in study.participants
        ],
    }


def _print(study: Study) -> None:
    from blindfit.console import print_table
    from blindfit.roster import key_fingerprint

    print(f"study {study.name}\ndigest {study.digest}")
    if not study.participants:
        print("it names no participants: whoever runs the training says who takes part")
        return
    rows = [[member.name, key_fingerprint(member)] for member in study.participants]
    print_table("", ["participant", "key"], rows)
