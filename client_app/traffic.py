"""The rows of one prediction, what they gave, and what they cost."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from keys.cipher import Decrypted


@dataclass
class Traffic:
    """What a prediction cost: bytes by direction, the circuits' own seconds, latencies by row."""

    sent: int = 0
    received: int = 0
    run_seconds: float = 0.0
    retries: int = 0
    seconds: float = 0.0  # wall time for all rows
    latencies: list[float] = field(default_factory=list)  # from encrypting to decrypted, seconds


@dataclass(frozen=True)
class Results:
    """Decrypted results in the order of the rows: whole numbers and scores, (n, outputs) each."""

    quantized: NDArray[np.int64]
    scores: NDArray[np.float64]
    traffic: Traffic


@dataclass
class Table:
    """Encoded rows ``X`` (n, width); ``on_row`` is called with each index when it is done."""

    X: NDArray[np.float64]
    on_row: Callable[[int], None]
    done: dict[int, Decrypted] = field(default_factory=dict)
    traffic: Traffic = field(default_factory=Traffic)

    def open_rows(self) -> list[int]:
        """The indices that have no result yet."""
        return [index for index in range(len(self.X)) if index not in self.done]

    def finish(self, index: int, result: Decrypted, seconds: float) -> None:
        """Keep a row's result, which took so long."""
        self.done[index] = result
        self.traffic.latencies.append(seconds)
        self.on_row(index)

    def results(self) -> Results:
        """All results, when no row is open any more."""
        rows = [self.done[index] for index in range(len(self.X))]
        return Results(
            np.stack([row.quantized for row in rows]),
            np.stack([row.scores for row in rows]),
            self.traffic,
        )
