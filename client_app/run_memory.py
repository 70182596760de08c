"""What a participant remembers of a run, on its own disk: what was asked once is not done again.

A coordinator that was restarted goes on with the run; one that says a round again, or an earlier
one, is refused, also by a participant that was restarted itself. Written before anything is
answered.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from blindfit.errors import IntegrityError, ProtocolError
from blindfit.files import private_folder, write_atomic
from blindfit.secagg.round_id import RoundId


@dataclass(frozen=True)
class Remembered:
    """``run`` and ``roster`` (digests) of the run, the last round, and whether it was revealed.

    ``sent`` is the last round that an input was sent to, ``revealed`` the last one of which
    shares were revealed; 0 for none. ``reveals`` counts the rounds that were.
    """

    run: str = ""
    roster: str = ""
    round: int = 0
    sent: int = 0
    revealed: int = 0
    reveals: int = 0

    @property
    def abandoned(self) -> int:
        """The round that an input was sent to, and of which nothing was revealed; 0 for none."""
        return self.sent if self.sent > self.revealed else 0


class RunMemory:
    """The memory in ``path`` for one study; it takes one new run for each start of the program."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._may_be_new = True
        self._known = _read(path)

    @property
    def known(self) -> Remembered:
        """What is remembered."""
        return self._known

    def begin(self, round_id: RoundId, roster: str) -> None:
        """Note that this round begins; raises `ProtocolError` for one that must not."""
        known = self._known
        if round_id.run != known.run:
            if not self._may_be_new:
                raise ProtocolError(
                    "the coordinator came with another run of this study",
                    hint="run `blindfit-client join` again to take part in another run",
                )
            known = Remembered(run=round_id.run, roster=roster)
        if roster != known.roster:
            raise ProtocolError("the coordinator came with other participants in mid-run")
        if round_id.round <= known.round:
            raise ProtocolError(
                f"the coordinator came with round {round_id.round} after round {known.round}: "
                "no round is done twice"
            )
        self._keep(replace(known, round=round_id.round))
        self._may_be_new = False

    def sending(self, round_id: RoundId) -> None:
        """Note that an input is about to be sent."""
        self._keep(replace(self._known, sent=round_id.round))

    def revealing(self, round_id: RoundId, most: int) -> None:
        """Note that shares will be revealed now; raises `ProtocolError` beyond ``most`` sums."""
        known = self._known
        if known.reveals >= most:
            raise ProtocolError(
                f"the coordinator asks for a sum after {most} sums of this run: a study of so many "
                "rounds needs no more"
            )
        last = max(known.revealed, round_id.round)
        self._keep(replace(known, revealed=last, reveals=known.reveals + 1))

    def _keep(self, known: Remembered) -> None:
        private_folder(self._path.parent)
        write_atomic(self._path, json.dumps(asdict(known)).encode())
        self._known = known


def _read(path: Path) -> Remembered:
    try:
        return Remembered(**json.loads(path.read_bytes()))
    except FileNotFoundError:
        return Remembered()
    except (ValueError, TypeError) as error:
        raise IntegrityError(
            f"{path} is damaged",
            hint="restore it from a backup; without it a round could be done twice",
        ) from error


__all__ = ["Remembered", "RunMemory"]
