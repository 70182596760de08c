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
    """What is known of one run: its ``roster`` (digest) and the last round.

    ``sent`` is the last round that an input was sent to, ``revealed`` the last one of which
    shares were revealed; 0 for none. ``reveals`` counts the rounds that were.
    """

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
    """The memory in ``path`` for one study; it takes one new run for each start of the program.

    No run is ever forgotten: a coordinator that came back to one after another would find a
    participant that says it revealed nothing.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._runs = _read(path)
        self._run = ""  # the one that this program takes part in

    @property
    def known(self) -> Remembered:
        """What is remembered of the run that goes on."""
        return self._runs.get(self._run, Remembered())

    def begin(self, round_id: RoundId, roster: str) -> None:
        """Note that this round begins; raises `ProtocolError` for one that must not."""
        if self._run not in ("", round_id.run):
            raise ProtocolError(
                "the coordinator came with another run of this study",
                hint="run `blindfit-client join` again to take part in another run",
            )
        known = self._runs.get(round_id.run, Remembered(roster=roster))
        if roster != known.roster:
            raise ProtocolError("the coordinator came with other participants in mid-run")
        if round_id.round <= known.round:
            raise ProtocolError(
                f"the coordinator came with round {round_id.round} after round {known.round}: "
                "no round is done twice"
            )
        self._run = round_id.run
        self._keep(replace(known, round=round_id.round))

    def sending(self, round_id: RoundId) -> None:
        """Note that an input is about to be sent."""
        self._keep(replace(self.known, sent=round_id.round))

    def revealing(self, round_id: RoundId, most: int) -> None:
        """Note that shares will be revealed now; raises `ProtocolError` beyond ``most`` sums."""
        known = self.known
        if known.reveals >= most:
            raise ProtocolError(
                f"the coordinator asks for a sum after {most} sums of this run: a study of so many "
                "rounds needs no more"
            )
        last = max(known.revealed, round_id.round)
        self._keep(replace(known, revealed=last, reveals=known.reveals + 1))

    def _keep(self, known: Remembered) -> None:
        runs = self._runs | {self._run: known}
        private_folder(self._path.parent)
        document = {run: asdict(one) for run, one in runs.items()}
        write_atomic(self._path, json.dumps(document).encode())
        self._runs = runs


def _read(path: Path) -> dict[str, Remembered]:
    try:
        document = json.loads(path.read_bytes())
        return {run: Remembered(**one) for run, one in document.items()}
    except FileNotFoundError:
        return {}
    except (ValueError, TypeError, AttributeError) as error:
        raise IntegrityError(
            f"{path} is damaged",
            hint="restore it from a backup; without it a round could be done twice",
        ) from error


__all__ = ["Remembered", "RunMemory"]
