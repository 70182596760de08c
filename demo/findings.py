"""What the demo's observations amount to: the report of DESIGN's contracts, and what to show."""

from __future__ import annotations

import warnings
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.metrics import accuracy_score

from blindfit.estimators import make_estimator
from blindfit.model_file import read_model
from blindfit.outputs import interpret
from blindfit.preprocessing import encode, encode_target
from blindfit.rows import read_rows
from demo.deployment import PASSPHRASE
from demo.scan import find_any, row_needles, secret_key_needles, stored_files
from demo.story import CLIENT, PARTICIPANTS, Story
from keys.access import SECRET_ACCESS
from keys.unlocking import unlock_store
from server_app.quantize import quantized_model, quantized_outputs
from server_app.registry import Registry


@dataclass(frozen=True)
class Seen:
    """What the server received and stored, and which secrets were in it."""

    requests_bytes: int
    stored_bytes: int
    secrets: list[str]


@dataclass(frozen=True)
class Findings:
    """Everything that the report shows."""

    document: dict[str, Any]  # report.json
    history: list[dict[str, Any]]
    bits: int
    gate_rows: int
    bytes_up: int
    bytes_down: int
    run_seconds: float  # in the circuit, mean
    latency_p50: float  # seconds from encrypting to decrypted, one row at a time
    row_seconds: float  # wall time a row, many in the pipeline
    seen: Seen


def examine(story: Story) -> Findings:
    """Compare, measure and search; nothing here talks to the server."""
    version = Registry(story.deployment.server).open(story.study.name)
    circuit = version.manifest.circuit
    model = read_model(version.folder / "model.skops")
    X = story.encoded()
    quantized = quantized_model(model, circuit.inputs, circuit.n_bits)
    clear = quantized_outputs(quantized, X).reshape(len(X), -1)
    answers = [answer for group in story.answers.values() for answer in group]
    agreed = [(answer.quantized == clear).all(axis=1) for answer in answers]
    clear_scores = quantized.dequantize_output(clear).reshape(len(X), -1)
    clear_labels = interpret(version.manifest, clear_scores).values
    same = [answer.predictions.values == clear_labels for answer in answers]
    matches = float(np.mean([a & s for a, s in zip(agreed, same, strict=True)]))
    traffic = answers[0].traffic
    latency = float(np.median(story.latencies))
    history = story.training["training"]["history"]
    document = {
        "dataset": "digits",
        "participants": PARTICIPANTS,
        "rounds": story.study.federation.rounds,
        "secure_aggregation": story.training["training"]["secure_aggregation"],
        "accuracy": {
            "encrypted": accuracy_score(story.truth, answers[0].predictions.values),
            "federated": accuracy_score(story.truth, model.predict(X)),
            "centralized": accuracy_score(story.truth, _centralized(story).predict(X)),
        },
        "encrypted_rows": len(X),
        "encrypted_matches_clear": matches,
        "rotation": {k: v for k, v in asdict(story.rotation).items() if k != "seconds"},
        "seconds": {
            "training": story.training["seconds"]["training"],
            "compile": story.training["seconds"]["publishing"],
            "predict_p50": latency,
            "total": story.seconds["total"],
        },
    }
    return Findings(
        document=document,
        history=history,
        bits=circuit.bits,
        gate_rows=version.manifest.gate.rows,
        bytes_up=traffic.sent // len(X),
        bytes_down=traffic.received // len(X),
        run_seconds=traffic.run_seconds / len(X),
        latency_p50=latency,
        row_seconds=traffic.seconds / len(X),
        seen=search(story, quantized.quantize_input(X)),
    )


def _centralized(story: Story) -> Any:
    """The same estimator, fitted on all participants' rows in one place."""
    parts = []
    for number in range(1, PARTICIPANTS + 1):
        rows = _participant_rows(story, number)
        parts.append(
            (encode(rows, story.study.schema_).X, encode_target(rows, story.study.schema_))
        )
    X, y = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the study's few iterations do not converge, and need not
        return make_estimator(story.study).fit(X, y)


def needles(story: Story, quantized: NDArray[np.int64]) -> dict[str, bytes]:
    """What must be nowhere: every keyset's secret keys, the client's and participants' rows."""
    found: dict[str, bytes] = {}
    store = unlock_store(story.deployment.home(CLIENT), PASSPHRASE.encode)
    for record in store.records():
        keyset = store.open(record.key_id)
        pieces = secret_key_needles(keyset.secret_bytes(SECRET_ACCESS))
        found |= {f"{record.key_id[:8]}: {name}": piece for name, piece in pieces.items()}
    found |= {
        f"client's {name}": piece
        for name, piece in row_needles(_raw(story, story.rows), story.encoded(), quantized).items()
    }
    for number in range(1, PARTICIPANTS + 1):
        rows = _participant_rows(story, number)
        X = encode(rows, story.study.schema_).X
        pieces = row_needles(_raw(story, rows), X, (X * 255).astype(np.int64) - 128)
        found |= {f"participant {number}'s {name}": piece for name, piece in pieces.items()}
    return found


def _raw(story: Story, rows: pd.DataFrame) -> NDArray[np.float64]:
    return rows.drop(columns=story.study.schema_.target).to_numpy(dtype=np.float64)


def _participant_rows(story: Story, number: int) -> pd.DataFrame:
    path = story.data / f"participant-{number}.csv"
    return read_rows(path, story.study.schema_, with_target=True)


def corpus(story: Story) -> list[bytes]:
    """Everything the server received and stored."""
    received = story.deployment.received.read_bytes()
    stored = list(stored_files(story.deployment.server))
    during = bytes(story.snapshots.content) if story.snapshots else b""
    return [received, during, *stored]


def search(story: Story, quantized: NDArray[np.int64]) -> Seen:
    """Search all that the server received and stored for all that it must not have."""
    contents = corpus(story)
    return Seen(
        requests_bytes=len(contents[0]),
        stored_bytes=sum(map(len, contents[1:])),
        secrets=find_any(contents, needles(story, quantized)),
    )
