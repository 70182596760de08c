"""The entries of ``build/bench/report.json``."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

FOLDER = Path("build") / "bench"


@dataclass(frozen=True)
class Entry:
    """A measured value beside a baseline that was measured in turn with it; ``n`` samples.

    ``share`` is the ratio where that is not value to baseline, but a part of a whole.
    """

    name: str
    value: float
    unit: str
    baseline: str
    baseline_value: float
    n: int
    share: float | None = None

    @property
    def ratio(self) -> float:
        """Value to baseline, or the share."""
        return self.value / self.baseline_value if self.share is None else self.share

    def document(self) -> dict[str, str | float]:
        """The entry as JSON."""
        fields = asdict(self)
        del fields["share"]
        return fields | {"ratio": self.ratio}


def write_entries(entries: list[Entry]) -> Path:
    """Write the report; entries of parts that did not run now stay as they were."""
    path = FOLDER / "report.json"
    known = {item["name"]: item for item in json.loads(path.read_text())} if path.exists() else {}
    known |= {entry.name: entry.document() for entry in entries}
    path.write_text(json.dumps(list(known.values()), indent=2) + "\n")
    return path
