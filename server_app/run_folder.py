"""What one federated training leaves on disk, in ``<home>/federation/<study>/<timestamp>/``."""

from __future__ import annotations

import json
import secrets
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from blindfit.estimators import Parameters, make_estimator, set_parameters
from blindfit.events import append_event, finite
from blindfit.files import private_folder, write_atomic
from blindfit.metrics import Metrics
from blindfit.model_file import read_model, write_model
from blindfit.roster import Roster
from blindfit.secagg.round_id import RUN_BYTES, RoundId
from blindfit.study import Study, study_from_json
from server_app.checkpoint import Checkpoint, RoundRecord, read_checkpoint, write_checkpoint

# The folder comes from the environment of the SuperLink's processes and not from the run's
# configuration, which whoever reaches the SuperLink chooses and participants see.
RUN_FOLDER_VARIABLE = "BLINDFIT_RUN_FOLDER"


@dataclass(frozen=True)
class RunFolder:
    """The files of a run: study, participants, events, checkpoint, history, the last good model."""

    path: Path

    @classmethod
    def create(cls, path: Path, study: Study, roster: Roster) -> RunFolder:
        """A new folder for a run of ``study`` with ``roster``."""
        run = cls(private_folder(path))
        write_atomic(path / "run.json", json.dumps({"id": secrets.token_hex(RUN_BYTES)}).encode())
        write_atomic(path / "roster.json", roster.model_dump_json().encode())
        write_atomic(path / "study.json", study.canonical())
        return run

    @property
    def is_whole(self) -> bool:
        """Whether the folder was completely written: a crash may have stopped that."""
        return (self.path / "study.json").is_file()

    def name_participants(self, participants: dict[int, str]) -> None:
        """Say who the nodes are; nodes that are not named take no part."""
        write_atomic(self.path / "participants.json", json.dumps(participants).encode())

    @property
    def is_trained(self) -> bool:
        """Whether all rounds are done and the last model is measured."""
        checkpoint = self.checkpoint()
        if checkpoint is None or len(checkpoint.records) < self.study().federation.rounds:
            return False
        return self.study().privacy.guarantee is not None or (
            checkpoint.records[-1].loss is not None
        )

    def run_id(self) -> str:
        """What tells this run from others of the study."""
        return str(json.loads((self.path / "run.json").read_bytes())["id"])

    def roster(self) -> Roster:
        """Everybody who may take part."""
        return Roster.model_validate_json((self.path / "roster.json").read_bytes())

    def begin_round(self) -> RoundId:
        """The next round. Its number is used up before anybody hears it, whatever happens then."""
        number = 1 + self.begun
        write_atomic(self.path / "round.json", json.dumps({"begun": number}).encode())
        return RoundId(self.study().digest, self.run_id(), number)

    @property
    def begun(self) -> int:
        """The last round that was begun; 0 before the first."""
        file = self.path / "round.json"
        return int(json.loads(file.read_bytes())["begun"]) if file.exists() else 0

    def keep_checkpoint(self, checkpoint: Checkpoint) -> None:
        """Replace what a restarted coordinator goes on from, whole or not at all."""
        write_checkpoint(self.path / "checkpoint.npz", checkpoint)
        lines = [asdict(record) for record in checkpoint.records]
        write_atomic(self.path / "history.json", json.dumps(lines, indent=2).encode())

    def checkpoint(self) -> Checkpoint | None:
        """Where the run stands; None before its first round ended."""
        file = self.path / "checkpoint.npz"
        return read_checkpoint(file) if file.exists() else None

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

    def history(self) -> list[dict[str, Any]]:
        """The rounds so far; none before the first ended."""
        file = self.path / "history.json"
        return json.loads(file.read_bytes()) if file.exists() else []


def score_round(record: RoundRecord, study: Study, metrics: Metrics) -> None:
    """Complete ``record`` with what the participants measured of the model after it."""
    record.loss = finite(metrics.mean_loss())
    scores = metrics.named_scores(study)
    record.accuracy, record.r2 = scores["accuracy"], scores["r2"]
