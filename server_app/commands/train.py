"""`blindfit-server train`: from a study to a published model."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from blindfit.console import HomeOption, JsonOption, emit, say

if TYPE_CHECKING:
    from blindfit.study import Study
    from server_app.evaluation import LabelledRows

_OF_TRAINING = "training_"  # what the names of scores by the participants begin with
Trained = tuple[Any, dict[str, Any], str]  # estimator, training record, the run's folder


def train(
    study: Annotated[Path, typer.Argument(help="The study's TOML file, as all parties agreed.")],
    home: HomeOption = None,
    participant: Annotated[
        list[Path] | None,
        typer.Option(help="A participant's public key, beside the enrolled ones; repeatable."),
    ] = None,
    local: Annotated[
        Path | None, typer.Option(help="Train on this file's rows alone, without a federation.")
    ] = None,
    address: Annotated[
        str | None, typer.Option(help="HOST:PORT to listen at [default: from config.toml].")
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with this study's last run.")
    ] = False,
    evaluate: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Labelled rows to score the published model on, encrypted too; the scores are "
            "public [default: with --local the same rows].",
        ),
    ] = None,
    publish: Annotated[
        bool, typer.Option("--publish/--no-publish", help="Publish the model when it is trained.")
    ] = True,
    out_of_bounds: Annotated[
        str, typer.Option(help="With --local: error or clip for values outside the bounds.")
    ] = "error",
    as_json: JsonOption = False,
) -> None:
    """Train a study with its participants, round by round, and publish the model.

    Participants' updates are added up under masks: this machine learns their sum alone, unless the
    study turns that off. The last good model is kept in the run's folder whatever happens.
    """
    from blindfit.errors import InputError
    from blindfit.flower_process import sigterm_as_interrupt
    from blindfit.home import resolve_home
    from blindfit.study import load_study

    if evaluate is not None and not publish:
        raise InputError("--evaluate scores what is published: leave --no-publish out")
    folder, contract = resolve_home(home), load_study(study)
    with sigterm_as_interrupt():
        labelled = _labelled(folder, contract, evaluate, local, out_of_bounds) if publish else None
        started = time.monotonic()
        if local is not None:
            trained = _locally(folder, contract, local, out_of_bounds)
        else:
            trained = _federated(folder, contract, participant or [], address, resume=resume)
        seconds = {"training": round(time.monotonic() - started, 3)}
        document = _document(contract, trained, seconds)
        if publish:
            document |= _publish(folder, contract, trained, labelled)
            seconds["publishing"] = round(time.monotonic() - started - seconds["training"], 3)
    emit(document, as_json, lambda: _summarize(document))


def _document(study: Study, trained: Trained, seconds: dict[str, float]) -> dict[str, Any]:
    _, training, run = trained
    return {"study": study.name, "run": run, "training": training, "seconds": seconds}


def _labelled(
    home: Path, study: Study, evaluate: Path | None, local: Path | None, out_of_bounds: Any
) -> LabelledRows | None:
    """The rows that the model will be scored on: read now, so that wrong ones end it now.

    The home is looked at now, too, rather than after the training.
    """
    from server_app.layout import Layout

    Layout.existing(home)
    if evaluate is None and local is None:
        return None  # without the seconds that Concrete ML takes to be imported
    from server_app.evaluation import labelled_rows

    if evaluate is not None:
        return labelled_rows(study, evaluate)
    return labelled_rows(study, cast(Path, local), "training", out_of_bounds)


def _locally(home: Path, study: Study, file: Path, out_of_bounds: str) -> Trained:
    from server_app.local import train_locally

    fit = train_locally(home, study, file, out_of_bounds)
    if fit.warning:
        say(f"warning: {fit.warning}")
    return fit.estimator, fit.training, str(fit.folder)


def _federated(
    home: Path, study: Study, files: list[Path], address: str | None, *, resume: bool
) -> Trained:
    from server_app.config import load_config
    from server_app.layout import Layout
    from server_app.participants import training_roster
    from server_app.progress import training_progress, what_is_learned
    from server_app.superlink import Tls
    from server_app.training_run import last_run, new_run, train_federated, training_record

    layout = Layout.existing(home)
    tls = Tls(layout.ca_certificate, layout.certificate, layout.key)
    listen = address or load_config(home).federation_listen
    _warn_if_open(listen)
    if resume:
        run = last_run(home, study)
    else:
        run = new_run(home, study, training_roster(home, study, files))
    if not run.is_trained:
        say(what_is_learned(study))
        with training_progress() as report:
            train_federated(run, listen, tls, report)
    return run.model(), training_record(study, run), str(run.path)


def _warn_if_open(address: str) -> None:
    from blindfit.address import split_address

    host, _ = split_address(address)
    if host not in ("127.0.0.1", "::1", "localhost"):
        say(
            f"warning: Flower's community edition has no accounts: whoever reaches {address} can "
            "run any program on this machine as this user. Listen on loopback (--address "
            "127.0.0.1:8444) and open nginx in front of it (packaging/nginx/README.md): it lets "
            "nothing through but the calls of a participant, with a certificate of this server. "
            "Until then let a firewall admit your participants alone, and train as a separate user "
            "or on a separate machine, without the keys of the CA and of the publisher"
        )


def _publish(
    home: Path, study: Study, trained: Trained, labelled: LabelledRows | None
) -> dict[str, Any]:
    from server_app.publish import publish_model

    estimator, training, _ = trained
    published = publish_model(
        home,
        study,
        estimator,
        training=training,
        accuracy={f"{_OF_TRAINING}{name}": value for name, value in _scores(training).items()},
        evaluation=labelled,
        report=say,
    )
    return {
        "model": published.model,
        "version": published.version,
        "accuracy": published.manifest.accuracy,
    }


def _scores(training: dict[str, Any]) -> dict[str, float]:
    """The kept model's on the rows of the training.

    None under differential privacy: scores come with the round after, and the last has none.
    """
    kept = _kept(training)
    return {name: kept[name] for name in ("accuracy", "r2") if kept[name] is not None}


def _kept(training: dict[str, Any]) -> dict[str, Any]:
    """The line of the history that measures the model that was kept."""
    history: list[dict[str, Any]] = training["history"]
    kept = training.get("kept_round", history[-1]["round"])
    return next(line for line in history if line["round"] == kept)


def _summarize(document: dict[str, Any]) -> None:
    training = document["training"]
    told = [f"{training['rounds']} rounds", f"{training['participants']} participants"]
    if training["rows"] is not None:
        told.append(f"{training['rows']:,} rows")
    scores = [f"{name} {value:.4f}" for name, value in _scores(training).items()]
    print(f"{document['study']}: {', '.join(told + (scores or ['the last model is not scored']))}")
    if "version" in document:
        print(f"published as version {document['version']} of {document['model']}")
        for name, value in document["accuracy"].items():
            if not name.startswith(_OF_TRAINING):
                print(f"  {name.replace('_', ' ')} {value:.4f}")
    else:
        print(f"the model is {document['run']}/model.skops")
