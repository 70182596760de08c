"""Federated MNIST: accuracy over seeds, and encrypted predictions over gRPC."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from bench.entries import Entry
from bench.federation import join_arrays, train
from bench.images import MNIST_STUDY, Images, load_mnist, mnist_study
from blindfit.console import say
from blindfit.estimators import make_estimator
from blindfit.outputs import interpret
from blindfit.study import Study
from client_app.session import Session
from demo.deployment import PASSPHRASE, Deployment
from server_app.publish import publish_model
from server_app.quantize import quantized_model, quantized_outputs

_PARTICIPANTS = 10
_SEEDS = (0, 1, 2)
_ENCRYPTED_ROWS = 250


def measure_mnist(work: Path, data: Path | None) -> list[Entry]:
    """Train with each seed; publish the first model and predict test images encrypted."""
    images, study = load_mnist(data), mnist_study()
    (work / "study.toml").write_text(MNIST_STUDY)
    models = [_federate(images, study, work, seed) for seed in _SEEDS]
    accuracies = [float((m.predict(images.X_test / 255) == images.y_test).mean()) for m in models]
    for seed, accuracy in zip(_SEEDS, accuracies, strict=True):
        say(f"  seed {seed}: federated accuracy {accuracy:.4f}")
    central = _centralized(images, study)
    say(f"  centralized accuracy {central:.4f}")
    return [
        Entry("mnist.fedavg.accuracy", min(accuracies), "share", "centralized training, same "
              "hyper-parameters", central, len(_SEEDS)),
        _encrypted(images, study, models[0], work),
    ]  # fmt: skip


def _federate(images: Images, study: Study, work: Path, seed: int) -> Any:
    """Train with rows dealt to the participants by ``seed``: the same ClientApp, in one process."""
    order = np.random.default_rng(seed).permutation(len(images.X_train))
    folder = work / f"seed-{seed}"
    folder.mkdir()
    parts = {
        f"participant-{number}": (images.X_train[part], images.y_train[part])
        for number, part in enumerate(np.array_split(order, _PARTICIPANTS))
    }
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        joined = join_arrays(folder, work / "study.toml", parts)
        run = train(study, joined, folder / "run")
    for path in folder.glob("*.npz"):
        path.unlink()
    return run.model()


def _centralized(images: Images, study: Study) -> float:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = make_estimator(study).fit(images.X_train / 255, images.y_train)
    return float((model.predict(images.X_test / 255) == images.y_test).mean())


def _encrypted(images: Images, study: Study, model: Any, work: Path) -> Entry:
    with Deployment(work / "deployment") as deployment:
        published = publish_model(deployment.server, study, model)
        home = deployment.enroll("client")
        deployment.keys("create", "client", "mnist")
        with Session.open(home, "mnist", PASSPHRASE.encode) as session:
            names = [name for name, _ in study.schema_.columns()]
            rows = pd.DataFrame(images.X_test[:_ENCRYPTED_ROWS], columns=names)
            answer = session.predict(rows)
    circuit = published.manifest.circuit
    X = images.X_test[:_ENCRYPTED_ROWS] / 255
    quantized = quantized_model(model, circuit.inputs, circuit.n_bits)
    clear = quantized_outputs(quantized, X)
    labels = interpret(published.manifest, quantized.dequantize_output(clear)).values
    same = (answer.quantized == clear).all(axis=1) & (answer.predictions.values == labels)
    truth = images.y_test[:_ENCRYPTED_ROWS]
    say(
        f"  encrypted accuracy {float((answer.predictions.values == truth).mean()):.4f} on "
        f"{len(truth)} images, {1000 * answer.traffic.seconds / len(truth):.0f} ms each"
    )
    return Entry("mnist.encrypted.agreement", float(same.mean()), "share of rows",
                 "quantized model in clear", 1.0, len(same))  # fmt: skip
