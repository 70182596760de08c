"""How long to wait before asking again: soon at first, and more and more rarely."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass
class Backoff:
    """Pauses in seconds from ``shortest`` to ``longest``, each ``growth`` times the one before."""

    shortest: float
    longest: float
    growth: float = 1.5
    _next: float = 0.0

    def reset(self) -> None:
        """Something happened: ask soon again."""
        self._next = self.shortest

    def pause(self) -> float:
        """How long to wait now."""
        pause = max(self._next, self.shortest)
        self._next = min(pause * self.growth, self.longest)
        return pause


__all__ = ["Backoff"]
