"""What secure aggregation adds to a round of a real deployment: SuperLink, SuperNodes, TLS."""

from __future__ import annotations

import json
import os
import shutil
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from bench.images import MNIST_STUDY, Images
from blindfit.console import say
from blindfit.flower_process import free_port
from blindfit.study import load_study
from demo.programs import Background, ask, command
from keys.participant import ensure_participant_key, participant_key_path

PARTICIPANTS = 10
LIGHT = 1_000  # images among all of them, so that hardly anything but Flower takes time
_ROUNDS = 5
_READABLE = "\n[privacy]\nsecure_aggregation = false\n"


@dataclass(frozen=True)
class RoundSeconds:
    """Seconds of each round but the first, in which everybody warms up."""

    secure: list[float]
    readable: list[float]

    @property
    def overhead(self) -> float:
        """Median of a secure round to that of a readable one."""
        return median(self.secure) / median(self.readable)


def measure_overhead(work: Path, images: Images, repeats: int = 1) -> RoundSeconds:
    """Train with and without secure aggregation in turn, ten participants on this machine."""
    seconds: dict[bool, list[float]] = {True: [], False: []}
    parts = _deal(work, images)
    for repeat in range(repeats):
        for secure in (False, True):
            folder = work / f"{'secure' if secure else 'readable'}-{repeat}"
            history = _train(folder, parts, secure=secure)
            seconds[secure] += [line["seconds"] for line in history[1:]]
            shutil.rmtree(folder)
            say(f"  {'secure' if secure else 'readable'}: {seconds[secure]} s a round")
    return RoundSeconds(seconds[True], seconds[False])


def _deal(work: Path, images: Images) -> list[Path]:
    work.mkdir(parents=True, exist_ok=True)
    order = np.random.default_rng(0).permutation(len(images.X_train))
    paths = []
    for number, part in enumerate(np.array_split(order, PARTICIPANTS)):
        paths.append(work / f"part-{number}.npz")
        np.savez(paths[-1], X=images.X_train[part], y=images.y_train[part])
    return paths


def _train(folder: Path, parts: list[Path], *, secure: bool) -> list[dict[str, Any]]:
    folder.mkdir()
    study = folder / "study.toml"
    text = MNIST_STUDY.replace("rounds = 5", f"rounds = {_ROUNDS}")
    study.write_text(text + ("" if secure else _READABLE))
    ask("blindfit-server", "init", folder / "server")
    address = f"127.0.0.1:{free_port()}"
    with ExitStack() as stack:
        arguments: list[str | Path] = []
        for number, rows in enumerate(parts):
            home = folder / f"p{number}"
            (folder / f"p{number}.pub").write_text(ensure_participant_key(home))
            arguments += ["--participant", folder / f"p{number}.pub"]
            stack.enter_context(_joined(folder, home, study, rows, address))
        train = _Running(
            command("blindfit-server", "train", study, "--home", folder / "server",
                    "--address", address, "--no-publish", "--json", *arguments),
            folder / "train.log",
        )  # fmt: skip
        stack.enter_context(train)
        history: list[dict[str, Any]] = json.loads(train.wait(900))["training"]["history"]
    return history


class _Running(Background):
    """A command that is ended with the block; each has one thread for its arithmetic."""

    def __enter__(self) -> _Running:
        return self

    def __exit__(self, *_raised: object) -> None:
        self.stop()


def _joined(folder: Path, home: Path, study: Path, rows: Path, address: str) -> _Running:
    os.environ["OMP_NUM_THREADS"] = "1"  # ten participants share this machine's cores
    return _Running(
        command("blindfit-client", "join", study, "--data", rows, "--home", home,
                "--server", address, "--ca", folder / "server" / "ca" / "ca.pem",
                "--key", participant_key_path(home), "--accept", load_study(study).digest),
        folder / f"{home.name}.log",
    )  # fmt: skip


if __name__ == "__main__":
    from bench.images import load_mnist

    found = measure_overhead(Path("build") / "bench" / "overhead", load_mnist(None))
    say(f"ratio {found.overhead:.3f}")
