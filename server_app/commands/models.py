"""`blindfit-server models`: what is published, and what of it is served."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from blindfit.card_command import (
    CardFormatOption,
    CardModelArgument,
    CardOutOption,
    CardVersionOption,
    emit_card,
)
from blindfit.console import HomeOption, JsonOption, emit, print_table, say

if TYPE_CHECKING:
    from pydantic import BaseModel

    from server_app.registry import ModelVersion, Registry

app = typer.Typer(no_args_is_help=True, help="Published model versions.")

ModelArgument = Annotated[str, typer.Argument(metavar="MODEL", help="The model's name.")]
VersionArgument = Annotated[int, typer.Argument(metavar="VERSION", help="The version's number.")]


@app.command("list")
def list_models(home: HomeOption = None, as_json: JsonOption = False) -> None:
    """List all versions, and which are current or retired."""
    registry = _registry(home)
    lines = [_line(registry, found) for found in registry.versions()]

    def human() -> None:
        columns = ["model", "version", "state", "estimator", "created"]
        print_table("", columns, [[str(line[name]) for name in columns] for line in lines])

    emit({"models": lines}, as_json, human)


@app.command()
def show(
    model: ModelArgument,
    version: Annotated[int | None, typer.Argument(help="Its number [default: current].")] = None,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show a version: parameters, accuracy, sizes, how it was trained and proven."""
    registry = _registry(home)
    found = registry.load(model, registry.current(model) if version is None else version)
    manifest = found.manifest
    document = _line(registry, found) | {
        "params_id": manifest.circuit.params_id,
        "study_digest": manifest.study_digest,
        "bits": manifest.circuit.bits,
        "n_bits": manifest.circuit.n_bits,
        "inputs": manifest.circuit.inputs,
        "outputs": manifest.circuit.outputs,
        "row_bytes": manifest.circuit.input.length,
        "result_bytes": manifest.circuit.output_size,
        "evaluation_key_bytes": manifest.circuit.evaluation_keys.length,
        "gate": manifest.gate.model_dump(),
        "accuracy": manifest.accuracy,
        "evaluation": _dumped(manifest.evaluation),
        "training": manifest.training,
        "privacy": _dumped(manifest.privacy),
        "cost": _dumped(manifest.cost),
        "packages": manifest.packages,
        "folder": str(found.folder),
    }

    def human() -> None:
        print_table("", ["", ""], [[name, str(value)] for name, value in document.items()])

    emit(document, as_json, human)


@app.command()
def card(
    model: CardModelArgument,
    version: CardVersionOption = None,
    card_format: CardFormatOption = None,
    out: CardOutOption = None,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Write the model card of a version: training, privacy, accuracy and cost."""
    registry = _registry(home)
    found = registry.load(model, registry.current(model) if version is None else version)
    emit_card(found.manifest, card_format, out, as_json)


@app.command("import")
def import_model(
    file: Annotated[Path, typer.Argument(metavar="MODEL.skops", help="A scikit-learn estimator.")],
    study: Annotated[Path, typer.Option("--study", help="The study whose schema it follows.")],
    evaluate: Annotated[
        Path | None,
        typer.Option(
            "--evaluate",
            metavar="FILE",
            help="Labelled rows; the model's scores on them are public.",
        ),
    ] = None,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Publish a model that was trained elsewhere."""
    from blindfit.flower_process import sigterm_as_interrupt
    from blindfit.home import resolve_home
    from server_app.publish import import_model

    with sigterm_as_interrupt():
        published = import_model(resolve_home(home), file, study, evaluate=evaluate, report=say)
    document = {
        "model": published.model,
        "version": published.version,
        "folder": str(published.folder),
        "params_id": published.manifest.circuit.params_id,
        "gate": published.manifest.gate.model_dump(),
        "accuracy": published.manifest.accuracy,
    }

    def human() -> None:
        print(f"published {published.model} version {published.version}")

    emit(document, as_json, human)


@app.command()
def promote(
    model: ModelArgument,
    version: VersionArgument,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make a version the current one, as a way back too."""
    _registry(home).promote(model, version)
    document = {"model": model, "version": version, "state": "current"}
    emit(document, as_json, lambda: print(f"version {version} of {model} is now current"))


@app.command()
def retire(
    model: ModelArgument,
    version: VersionArgument,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Serve a version no longer."""
    _registry(home).retire(model, version)
    document = {"model": model, "version": version, "state": "retired"}
    emit(document, as_json, lambda: print(f"version {version} of {model} is served no longer"))


def _registry(home: Path | None) -> Registry:
    from blindfit.home import resolve_home
    from server_app.registry import Registry

    return Registry(resolve_home(home))


def _dumped(section: BaseModel | None) -> dict[str, Any] | None:
    return None if section is None else section.model_dump(mode="json")


def _line(registry: Registry, found: ModelVersion) -> dict[str, Any]:
    return {
        "model": found.model,
        "version": found.version,
        "state": registry.serving(found.model).of(found.version),
        "estimator": found.manifest.estimator,
        "created": found.manifest.created,
    }
