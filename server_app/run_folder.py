"""What one federated training leaves on disk, in ``<home>/federation/<study>/<timestamp>/``."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from blindfit.estimators import Parameters, make_estimator, set_parameters
from blindfit.events import append_event, finite
from blindfit.files import private_folder, write_atomic
from blindfit.metrics import Metrics
from blindfit.model_file import read_model, write_model
from blindfit.study import Study, study_from_json

# The folder comes from the environment of the SuperLink's processes and not from the run's
# configuration, which whoever reaches the SuperLink chooses and participants see.
RUN_FOLDER_VARIABLE = "BLINDFIT_RUN_FOLDER"


@dataclass
class RoundRecord:
    """One line of the history; loss, and accuracy or R², are those of the model after the round."""

    round: int
    participants: list[str]
    refused: dict[str, str]
    rows: int
    seconds: float
    loss: float | None = None
    accuracy: float | None = None
    r2: float | None = None


@dataclass(frozen=True)
class RunFolder:
    """The files of a run: study, participants, events, history and the last good model."""

    path: Path

    @classmethod
    def create(cls, path: Path, study: Study, participants: dict[int, str]) -> RunFolder:
        """A new folder for ``study``; ``participants`` maps Flower's node ids to names."""
        run = cls(private_folder(path))
        write_atomic(path / "study.json", study.canonical())
        run.name_participants(participants)
        return run

    def name_participants(self, participants: dict[int, str]) -> None:
        """Say who the nodes are; nodes that are not named take no part."""
        write_atomic(self.path / "participants.json", json.dumps(participants).encode())

    def study(self) -> Study:
        """The study of this run."""
        return study_from_json((self.path / "study.json").read_bytes())

    def participants(self) -> dict[int, str]:
        """Node ids and names."""
        named = json.loads((self.path / "participants.json").read_bytes())
        return {int(node): name for node, name in named.items()}

    @property
    def events(self) -> Path:
        """The file of progress events."""
        return self.path / "events.jsonl"

    def tell(self, event: str, **details: Any) -> None:
        """Add a progress event."""
        append_event(self.events, event, **details)

    def keep_model(self, study: Study, parameters: Parameters) -> None:
        """Replace the last good model, whole or not at all."""
        model = set_parameters(make_estimator(study), study, parameters)
        write_model(self.path / "model.skops", model)

    def model(self) -> Any:
        """The last good model; raises `InputError` when no round got that far."""
        return read_model(self.path / "model.skops")

    def keep_history(self, records: list[RoundRecord]) -> None:
        """Write the rounds so far."""
        lines = [asdict(record) for record in records]
        write_atomic(self.path / "history.json", json.dumps(lines, indent=2).encode())

    def history(self) -> list[dict[str, Any]]:
        """The rounds so far; none before the first ended."""
        file = self.path / "history.json"
        return json.loads(file.read_bytes()) if file.exists() else []


def score_round(record: RoundRecord, study: Study, metrics: Metrics) -> None:
    """Complete ``record`` with what the participants measured of the model after it."""
    record.loss = finite(metrics.mean_loss())
    scores = metrics.named_scores(study)
    record.accuracy, record.r2 = scores["accuracy"], scores["r2"]
