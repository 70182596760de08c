"""Participants of a training in one process: real ClientApps, each with its key and memory."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from cryptography.hazmat.primitives.asymmetric import ec
from flwr.clientapp import ClientApp

from blindfit.dataset import Dataset, load
from blindfit.events import append_event
from blindfit.roster import Member, Roster, participant_key_text
from blindfit.study import Study, load_study
from client_app.federation import make_client_app
from client_app.participant import Participant
from client_app.run_memory import RunMemory
from server_app.in_process import train_in_process
from server_app.run_folder import RunFolder


@dataclass
class Joined:
    """A participant with its name, key, app, and a file of what it told."""

    name: str
    key: ec.EllipticCurvePrivateKey
    participant: Participant
    app: ClientApp
    events: Path


def join(
    folder: Path, study: Study, name: str, data: Dataset, key: Any = None, ledger: Any = None
) -> Joined:
    """A participant with ``data``; what it keeps is in ``folder``."""
    key = key or ec.generate_private_key(ec.SECP384R1())
    events = folder / f"{name}.jsonl"

    def tell(event: str, **details: Any) -> None:
        append_event(events, event, **details)

    memory = RunMemory(folder / f"{name}-memory" / "run.json")
    participant = Participant(study, data, key, memory, ledger, tell)
    return Joined(name, key, participant, make_client_app(participant, tell), events)


def roster_of(joined: list[Joined]) -> Roster:
    """The roster of these participants, in this order."""
    return Roster(
        members=tuple(
            Member(name=one.name, key=participant_key_text(one.key.public_key())) for one in joined
        )
    )


def join_arrays(folder: Path, study: Path, parts: dict[str, tuple[Any, Any]]) -> list[Joined]:
    """Participants with these rows (X, y), which go through a file as a person's would."""
    contract, joined = load_study(study), []
    for name, (X, y) in parts.items():
        np.savez(folder / f"{name}.npz", X=X, y=y)
        joined.append(join(folder, contract, name, load(contract, folder / f"{name}.npz")))
    return joined


def train(study: Study, joined: list[Joined], run: Path) -> RunFolder:
    """Train in this process; raises `TrainingError`."""
    return train_in_process(study, roster_of(joined), [one.app for one in joined], run)
