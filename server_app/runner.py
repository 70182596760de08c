"""What runs circuits, wherever it does: the interface of the local pool, and of a cluster."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol


@dataclass(frozen=True)
class CircuitRef:
    """A published circuit: the folder with its ``server.zip``, and that file's SHA-256."""

    folder: Path
    sha256: str
    bootstraps: bool
    output_size: int  # bytes


@dataclass(frozen=True)
class KeyRef:
    """A complete evaluation key on disk; ``size`` in bytes."""

    key_id: str
    salt: bytes = field(repr=False)
    path: Path
    size: int


@dataclass(frozen=True)
class RunResult:
    """An encrypted result, and the seconds that the circuit took alone."""

    ciphertext: bytes = field(repr=False)
    seconds: float


@dataclass(frozen=True)
class RunnerStats:
    """What a runner does now, and how many of its workers died so far."""

    workers: int
    running: int
    waiting: int
    replaced: int


class Runner(Protocol):
    """Runs circuits on ciphertexts whose frame was checked."""

    async def start(self) -> None:
        """Be ready to run; returns when all workers are."""

    async def run(
        self, circuit: CircuitRef, key: KeyRef, ciphertext: bytes, owner: str
    ) -> RunResult:
        """Run one encrypted row.

        When rows have to wait, their owners take turns; ``owner`` says nothing else.

        Raises `CiphertextError` for a ciphertext that the circuit does not take, `LimitError` when
        the run takes too long, `UnavailableError` when workers died of it or none got free, and
        `IntegrityError` when the stored key or circuit is damaged.
        """

    async def close(self) -> None:
        """End all workers, running or not."""

    def stats(self) -> RunnerStats:
        """Figures for people and for tests."""
