"""`blindfit-client join`: take part in a federated training with one's own rows."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from blindfit.console import HomeOption, JsonOption, emit, say

if TYPE_CHECKING:
    from client_app.node import Participation


def join(
    study: Annotated[Path, typer.Argument(help="The study's TOML file, as all parties agreed.")],
    data: Annotated[Path, typer.Option("--data", help="Labelled rows: CSV, Parquet or .npz.")],
    home: HomeOption = None,
    server: Annotated[
        str | None, typer.Option(help="HOST:PORT of the training [default: the enrolled one].")
    ] = None,
    ca: Annotated[
        Path | None, typer.Option(help="The server's CA, a PEM file [default: the enrolled one].")
    ] = None,
    key: Annotated[
        Path | None, typer.Option(help="This participant's key [default: the enrolled one].")
    ] = None,
    out_of_bounds: Annotated[
        str, typer.Option(help="What to do with values outside the bounds: error or clip.")
    ] = "error",
    as_json: JsonOption = False,
) -> None:
    """Train with the coordinator and the other participants; the rows stay on this machine.

    Waits for the training to start, takes part in every round, and ends with it.
    """
    from dataclasses import asdict

    from blindfit.flower_process import sigterm_as_interrupt
    from client_app.node import take_part

    participation = _participation(study, data, out_of_bounds, home, server, ca, key)
    with sigterm_as_interrupt():
        outcome = take_part(participation, _progress)
    document = {"study": str(study), "server": participation.server, **asdict(outcome)}

    def human() -> None:
        score = "" if outcome.score is None else f"; it scores {outcome.score:.4f} on these rows"
        print(f"the study is finished: {outcome.rounds} rounds with {outcome.rows} rows{score}")

    emit(document, as_json, human)


def _participation(
    study: Path,
    data: Path,
    out_of_bounds: str,
    home: Path | None,
    server: str | None,
    ca: Path | None,
    key: Path | None,
) -> Participation:
    from blindfit.errors import InputError, NotEnrolledError
    from blindfit.home import resolve_home
    from client_app.node import Participation
    from keys.identity import identity_folder, load_identity
    from keys.participant import participant_key_path

    if out_of_bounds not in ("error", "clip"):
        raise InputError("--out-of-bounds is error or clip")
    folder = resolve_home(home)
    if server is None or ca is None:
        identity = load_identity(folder)
        server, ca = server or identity.federation, ca or identity_folder(folder) / "ca.pem"
    if server is None:
        raise NotEnrolledError(
            "the enrolled server does not say where its trainings are",
            hint="ask the operator for the address and pass it with --server HOST:PORT",
        )
    bounds: Any = out_of_bounds
    return Participation(study, data, bounds, server, ca, key or participant_key_path(folder))


def _progress(event: dict[str, Any]) -> None:
    name = event["event"]
    if name == "checked":
        say(f"{event['rows']} rows are as the study says")
        if event["warning"]:
            say(f"warning: {event['warning']}")
    elif name == "waiting":
        say(f"waiting for the server at {event['server']} ...")
    elif name == "connected":
        say(f"the server at {event['server']} is there")
    elif name == "trained":
        say(f"round {event['round']}: trained on {event['rows']} rows in {event['seconds']:.1f} s")
    elif name == "refused":
        say(f"warning: no update was sent: {event['reason']}")
