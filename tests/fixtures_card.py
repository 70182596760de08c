"""Manifests to make cards of: hand-made, with everything that a real one has."""

from __future__ import annotations

import json
from typing import Any

from blindfit.frame import FixedRun, Frame
from blindfit.manifest import Manifest
from blindfit.privacy_statement import Origin, privacy_statement
from blindfit.study import Study, parse_study

DIGITS = """
[study]
name = "digits"
[model]
estimator = "LogisticRegression"
params = {{ C = 1.0, max_iter = 20 }}
[federation]
rounds = 5
min_participants = 3
{privacy}
[schema]
target = "label"
classes = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]
[[schema.features]]
name = "pixel{{0..63}}"
kind = "number"
min = 0
max = 16
"""
RECORDS = """
[privacy.records]
epsilon = 2
delta = 1e-6
clip = 1.5
honest = 2
"""


def digits_study(privacy: str = "") -> Study:
    """The digits' study, with a ``[privacy]`` section."""
    return parse_study(DIGITS.format(privacy=privacy))


def history(rounds: int = 5) -> list[dict[str, Any]]:
    """Rounds in which a model gets better."""
    return [
        {
            "round": number,
            "participants": 3,
            "refused": 0,
            "rows": 1437,
            "seconds": 7.25,
            "loss": 2.3 / (number + 1),
            "accuracy": 1 - 0.4 / (number + 1),
            "r2": None,
        }
        for number in range(1, rounds + 1)
    ]


def training(rounds: int = 5) -> dict[str, Any]:
    """The record of a federated training."""
    return {
        "algorithm": "fedavg",
        "known_participants": 4,
        "participants": 3,
        "rows": 1437,
        "rounds": rounds,
        "kept_round": rounds,
        "history": history(rounds),
    }


def manifest(of: Study | None = None, *, origin: Origin = "federated", **changes: Any) -> Manifest:
    """The manifest of a model ``of`` a study (the digits'), with ``changes`` by field."""
    study = of or digits_study()
    document: dict[str, Any] = {
        "format": 1,
        "model": study.name,
        "version": 3,
        "created": "2026-02-03T04:05:06Z",
        "study_digest": study.digest,
        "estimator": study.model.estimator,
        "output": "softmax",
        "schema": study.schema_.model_dump(mode="json", by_alias=True),
        "circuit": circuit(study.schema_.width),
        "probes": {"lower": [0], "upper": [1]},
        "gate": {"rows": 40, "agreed": 40, "same_labels": 39},
        "accuracy": {
            "training_accuracy": 0.9333,
            "clear_accuracy": 0.95,
            "quantized_accuracy": 0.9472,
            "sample_clear_accuracy": 0.94,
            "sample_quantized_accuracy": 0.92,
            "sample_encrypted_accuracy": 0.92,
        },
        "training": training(),
        "packages": {"python": "3.11.7", "concrete-ml": "1.9.0"},
        "files": {"client.zip": {"sha256": "ab" * 32, "size": 1000}},
        "study": json.loads(study.canonical()),
        "privacy": privacy_statement(study, participants=4, origin=origin).model_dump(mode="json"),
        "evaluation": {"source": "evaluation", "rows": 360, "encrypted_rows": 50, "agreed": 50},
        "cost": {"rows": 40, "cores": 2, "encrypt": 0.0071, "run": 0.0123, "decrypt": 0.0009},
    }
    return Manifest.model_validate_json(json.dumps(document | changes))


def circuit(inputs: int) -> dict[str, Any]:
    """A linear circuit."""
    frames = {"input": 6144, "output": 130_304, "evaluation_keys": 64}
    sizes = {
        name: Frame(length=length, fixed=(FixedRun(offset=0, content="00"),)).model_dump()
        for name, length in frames.items()
    }
    return {
        "params_id": "cd" * 32,
        "n_bits": 8,
        "bits": 20,
        "inputs": inputs,
        "outputs": 10,
        "programmable_bootstraps": False,
        **sizes,
    }
