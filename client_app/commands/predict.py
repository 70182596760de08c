"""`blindfit-client predict`: private rows in, predictions out."""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from blindfit.console import (
    HomeOption,
    JsonOption,
    PassphraseFileOption,
    emit,
    read_passphrase,
    say,
)

if TYPE_CHECKING:
    import pandas as pd

    from client_app.session import Answer, Session


def predict(
    model: Annotated[str, typer.Argument(help="The model's name.")],
    rows: Annotated[Path, typer.Argument(help="Rows: CSV, Parquet or .npz.")],
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="CSV or Parquet [default: CSV on stdout].")
    ] = None,
    version: Annotated[
        int | None, typer.Option(help="A model version [default: the current one].")
    ] = None,
    out_of_bounds: Annotated[
        str, typer.Option(help="What to do with values outside the bounds: error or clip.")
    ] = "error",
    score: Annotated[
        bool, typer.Option("--score", help="The rows have the target: say how good it is.")
    ] = False,
    create_keys: Annotated[
        bool, typer.Option("--create-keys", help="Create keys that are missing without asking.")
    ] = False,
    stall_timeout: Annotated[
        float | None,
        typer.Option(
            min=1.0,
            help="Seconds without an answer until rows are sent again "
            "[default: longer than a server's longest run].",
        ),
    ] = None,
    passphrase_file: PassphraseFileOption = None,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Predict rows that the server cannot read.

    Rows are checked and encrypted here, computed on there, and decrypted here. The predictions
    are written with a probability for each class where the estimator has probabilities. Keys may
    be rotated meanwhile.
    """
    from blindfit.errors import InputError
    from blindfit.home import resolve_home
    from blindfit.rows import read_rows
    from client_app.results import check_output
    from client_app.session import Session

    if out_of_bounds not in ("error", "clip"):
        raise InputError("--out-of-bounds is error or clip")
    check_output(out)
    folder = resolve_home(home)
    with Session.open(
        folder,
        model,
        _passphrase(folder, passphrase_file),
        version=version,
        stall=stall_timeout,
        agree=_agreement(folder, create_keys=create_keys, ask=not as_json),
        report=lambda step: say(f"{step} ..."),
    ) as session:
        table = read_rows(rows, session.manifest.schema_, with_target=score)
        answer = _predict(session, table, out_of_bounds, quiet=as_json)
        quality = _quality(session, table, answer) if score else {}
        _show(session, answer, out, quality, as_json)


def _passphrase(home: Path, file: Path | None) -> Callable[[], bytes]:
    """Asked for twice where it is a new one."""
    from keys.store import KeyStore

    return lambda: read_passphrase(file, confirm=not KeyStore.of(home).exists)


def _agreement(home: Path, *, create_keys: bool, ask: bool) -> Callable[[str], bool]:
    def agree(missing: str) -> bool:
        from keys.store import KeyStore
        from keys.unlocking import loss_warning

        if not create_keys:
            if not (ask and sys.stdin.isatty()):
                return False
            if not typer.confirm(f"{missing}: create them now?", err=True):
                return False
        say(loss_warning(KeyStore.of(home)))
        return True

    return agree


def _predict(session: Session, table: pd.DataFrame, out_of_bounds: Any, *, quiet: bool) -> Answer:
    from client_app.progress import row_progress

    context = nullcontext(lambda index: None) if quiet else row_progress(len(table))
    with context as on_row:
        return session.predict(table, out_of_bounds=out_of_bounds, on_row=on_row)


def _quality(session: Session, table: pd.DataFrame, answer: Answer) -> dict[str, float]:
    from sklearn.metrics import accuracy_score, r2_score

    from blindfit.preprocessing import encode_target

    truth = encode_target(table, session.manifest.schema_)
    if session.manifest.schema_.is_classification:
        return {"accuracy": float(accuracy_score(truth, answer.predictions.values))}
    return {"r2": float(r2_score(truth, answer.predictions.values))}


def _show(
    session: Session, answer: Answer, out: Path | None, quality: dict[str, float], as_json: bool
) -> None:
    from client_app.results import prediction_table, write_table

    predictions = prediction_table(session.manifest, answer.predictions)
    if out is not None:
        write_table(predictions, out)
    document = _document(session, answer, out, quality)
    if as_json and out is None:
        document["predictions"] = predictions.to_dict(orient="records")
    if answer.warning:
        say(f"warning: {answer.warning}")

    def human() -> None:
        if out is None:
            print(predictions.to_csv(index=False), end="")
        for name, value in quality.items():
            say(f"{name} {value:.4f}")
        say(_summary(document))

    emit(document, as_json, human)


def _summary(document: dict[str, Any]) -> str:
    destination = f" to {document['out']}" if document["out"] else ""
    return (
        f"{document['rows']} rows predicted with version {document['version']} of "
        f"{document['model']}{destination}: {document['milliseconds_per_row']:.0f} ms a row, "
        f"{document['bytes_sent_per_row']:,} bytes up, "
        f"{document['bytes_received_per_row']:,} bytes down"
    )


def _document(
    session: Session, answer: Answer, out: Path | None, quality: dict[str, float]
) -> dict[str, Any]:
    traffic, count = answer.traffic, len(answer.quantized)
    return {
        "model": session.manifest.model,
        "version": session.manifest.version,
        "key_id": session.key_id,
        "rows": count,
        "out": str(out) if out else None,
        **quality,
        "milliseconds_per_row": 1000 * traffic.seconds / count,
        "bytes_sent_per_row": traffic.sent // count,
        "bytes_received_per_row": traffic.received // count,
        "retries": traffic.retries,
        "warning": answer.warning,
    }
