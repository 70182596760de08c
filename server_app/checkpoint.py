"""Where a training stands after a round: one file, from which a restarted coordinator goes on."""

from __future__ import annotations

import io
import json
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np

from blindfit.errors import TrainingError
from blindfit.estimators import Parameters
from blindfit.files import write_atomic
from server_app.learning import Progress

_STATE = "state-"


@dataclass
class RoundRecord:
    """One line of the history; loss, and accuracy or R², are those of the model after the round.

    ``rows`` is None where participants do not tell how many they have.
    """

    round: int
    participants: list[str]
    refused: dict[str, str]
    rows: int | None
    seconds: float
    loss: float | None = None
    accuracy: float | None = None
    r2: float | None = None


@dataclass
class Checkpoint:
    """Where the learner is after the last finished round, and the best model.

    ``best`` is the model of the round ``best_round`` (0: none is scored yet).
    """

    progress: Progress
    best: Parameters = field(default_factory=list)
    best_round: int = 0
    records: list[RoundRecord] = field(default_factory=list)


def write_checkpoint(path: Path, checkpoint: Checkpoint) -> None:
    """Replace ``path``, whole or not at all."""
    document = {
        "best_round": checkpoint.best_round,
        "records": [asdict(record) for record in checkpoint.records],
    }
    progress = checkpoint.progress
    lists = {"parameters": progress.parameters, "model": progress.model, "best": checkpoint.best}
    arrays = {
        f"{name}-{number}": array
        for name, several in lists.items()
        for number, array in enumerate(several)
    }
    arrays |= {f"{_STATE}{name}": array for name, array in progress.state.items()}
    text = np.frombuffer(json.dumps(document).encode(), np.uint8)
    file = io.BytesIO()
    np.savez(file, document=text, **arrays)
    write_atomic(path, file.getvalue())


def read_checkpoint(path: Path) -> Checkpoint:
    """Raises `TrainingError` for a file that is not a checkpoint."""
    try:
        with np.load(path, allow_pickle=False) as file:
            document = json.loads(file["document"].tobytes())
            parameters, model, best = (
                _arrays(file, name) for name in ("parameters", "model", "best")
            )
            names = [name for name in file.files if name.startswith(_STATE)]
            state = {name.removeprefix(_STATE): file[name] for name in names}
        records = [RoundRecord(**line) for line in document["records"]]
        progress = Progress(parameters, model, state)
        return Checkpoint(progress, best, document["best_round"], records)
    except (ValueError, KeyError, TypeError, OSError) as error:
        raise TrainingError(
            f"{path} is damaged: {error}", hint="train anew, without --resume"
        ) from error


def _arrays(file: np.lib.npyio.NpzFile, name: str) -> Parameters:
    keys = [key for key in file.files if key.startswith(f"{name}-")]
    return [file[key] for key in sorted(keys, key=lambda key: int(key.rpartition("-")[2]))]


__all__ = ["Checkpoint", "RoundRecord", "read_checkpoint", "write_checkpoint"]
