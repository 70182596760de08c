"""`blindfit-client join`: take part in a federated training with one's own rows."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from blindfit.console import HomeOption, JsonOption, emit, say
from client_app.commands.agreement import agree, say_checked, show_only
from client_app.data_sets import DEFAULT_DATASET

if TYPE_CHECKING:
    from client_app.node import Participation


def join(
    study: Annotated[Path, typer.Argument(help="The study's TOML file, as all parties agreed.")],
    data: Annotated[Path, typer.Option("--data", help="Labelled rows: CSV, Parquet or .npz.")],
    home: HomeOption = None,
    accept: Annotated[
        str | None,
        typer.Option(metavar="DIGEST", help="Accept this study without being asked, for scripts."),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show the study, check the rows, and stop.")
    ] = False,
    dataset: Annotated[
        str, typer.Option(help="What the privacy account calls these rows (see `budget`).")
    ] = DEFAULT_DATASET,
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

    Shows what the study computes, what leaves this machine, what is promised and what it costs of
    your own limit, and asks before it first takes part. Then waits for the training to start, takes
    part in every round, and ends with it.
    """
    from blindfit.flower_process import sigterm_as_interrupt
    from blindfit.study import load_study
    from client_app.node import take_part

    participation = _participation(study, data, out_of_bounds, home, server, ca, key, dataset)
    contract = load_study(study)
    if dry_run:
        show_only(contract, participation, as_json)
        return
    agree(contract, participation, accept)
    with sigterm_as_interrupt():
        outcome = take_part(participation, _progress)
    document = {
        "study": str(study),
        "digest": contract.digest,
        "server": participation.server,
        **asdict(outcome),
    }

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
    dataset: str,
) -> Participation:
    from blindfit.errors import InputError, NotEnrolledError
    from blindfit.home import resolve_home
    from client_app.node import Participation
    from keys.identity import credentials_path, identity_folder, load_identity
    from keys.participant import participant_key_path

    if out_of_bounds not in ("error", "clip"):
        raise InputError("--out-of-bounds is error or clip")
    folder = resolve_home(home)
    if server is None or ca is None:
        identity = load_identity(folder)
        server, ca = server or identity.federation, ca or identity_folder(folder) / "ca.pem"
    credentials = credentials_path(folder)
    if server is None:
        raise NotEnrolledError(
            "the enrolled server does not say where its trainings are",
            hint="ask the operator for the address and pass it with --server HOST:PORT",
        )
    bounds: Any = out_of_bounds
    return Participation(
        home=folder,
        study=study,
        data=data,
        out_of_bounds=bounds,
        server=server,
        ca=ca,
        key=key or participant_key_path(folder),
        credentials=credentials if credentials.exists() else None,
        dataset=dataset,
    )


def _progress(event: dict[str, Any]) -> None:
    name = event["event"]
    if name == "checked":
        say_checked(event["rows"], event["warning"])
    elif name == "confined" and not event["complete"]:
        say(event["words"])
    elif name == "waiting":
        say(f"waiting for the server at {event['server']} ...")
    elif name == "connected":
        say(f"the server at {event['server']} is there")
    elif name == "admitted":
        say("the coordinator knows this participant")
    elif name == "unadmitted":
        say(f"not admitted: {event['reason']}; trying again ...")
    elif name == "unconnected":
        say(f"warning: no connection: {event['reason']}; trying again ...")
    elif name == "roster":
        say(f"the coordinator says that these take part: {', '.join(event['names'])}")
    elif name == "trained":
        say(f"round {event['round']}: trained on {event['rows']} rows in {event['seconds']:.1f} s")
    elif name == "refused":
        say(f"warning: nothing was sent: {event['reason']}")
