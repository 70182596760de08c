"""What secure aggregation costs one participant among a hundred and among a thousand.

The participants are those of `client_app.secure_round`, with keys of their own. All of them
advertise keys. From there on a sample does the whole round, with everybody who masks with somebody
of the sample: the other hundreds never reach it, in a real round either. Confirmations of the
neighbours are made with their keys, by the function that `SecureRound.confirm` calls. One neighbour
of the sample drops out before it sends its input, so that survivors are confirmed whatever the
graph. Unmasking is the coordinator's work, and not measured.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median
from typing import TypeVar

import numpy as np
from cryptography.hazmat.primitives.asymmetric import ec

from bench.secagg_study import eight_thousand_weights
from bench.secagg_traffic import Traffic, roster_message
from bench.wire import wire_bytes
from blindfit.averaging import Averaging
from blindfit.roster import Member, Roster, participant_key_text
from blindfit.secagg import messages
from blindfit.secagg.group import Group
from blindfit.secagg.masks import Words
from blindfit.secagg.round_id import RoundId
from blindfit.secagg.statements import Advertisement, sign_survivors
from client_app.secure_round import Revealed, SecureRound

FEW, MANY = 100, 1_000
SAMPLE = 8
_STAGES = ("advertise", "share", "mask", "confirm", "reveal")
_BINDING = bytes(32)  # of what is asked; the same for all
Result = TypeVar("Result")


@dataclass(frozen=True)
class Cost:
    """The median over the sample, for one round: CPU seconds, and bytes in both directions.

    ``undisturbed`` are the seconds of a round that nobody leaves: where the graph is complete, it
    needs no confirmation. ``roster_seconds`` and ``roster_bytes`` are what the list of participants
    costs, once.
    """

    participants: int
    degree: int
    seconds: float
    undisturbed: float
    bytes: float
    roster_seconds: float
    roster_bytes: int


def measure_scaling() -> tuple[Cost, Cost]:
    """The cost among `FEW`, and among `MANY`; measured in turn, stage by stage."""
    few, many = Neighbourhood(FEW), Neighbourhood(MANY)
    for stage in _STAGES:
        for place in range(SAMPLE):
            few.step(stage, place)
            many.step(stage, place)
        few.others(stage)
        many.others(stage)
    return few.cost(), many.cost()


class Neighbourhood:
    """A sample of participants, side by side on the ring, and all of their neighbours."""

    def __init__(self, size: int) -> None:
        self._study = eight_thousand_weights()
        self._keys = [ec.generate_private_key(ec.SECP384R1()) for _ in range(size)]
        self._roster = _roster(self._keys)
        self._group = Group.of(self._study, self._roster)
        self._id = RoundId(self._study.digest, "ab" * 16, 1)
        ring = self._group.topology.ring
        self._sample, gone = ring[:SAMPLE], ring[SAMPLE]
        near = {other for one in self._sample for other in self._group.topology.neighbours(one)}
        self._near = near - set(self._sample)
        self._survivors = frozenset(range(size)) - {gone}
        self._rounds: dict[int, SecureRound] = {}
        self._advertisements: dict[int, Advertisement] = {}
        self._envelopes: dict[int, dict[int, bytes]] = {}  # by sender, then by recipient
        self._masked: dict[int, Words] = {}
        self._signatures: dict[int, bytes] = {}
        self._revealed: dict[int, Revealed] = {}
        self._seconds = {index: dict.fromkeys(_STAGES, 0.0) for index in self._sample}

    def step(self, stage: str, place: int) -> None:
        """A stage of one participant of the sample, measured."""
        index = self._sample[place]
        steps: dict[str, Callable[[int], None]] = {
            "advertise": self._advertise,
            "share": self._share,
            "mask": self._mask,
            "confirm": self._confirm,
            "reveal": self._reveal,
        }
        steps[stage](index)

    def others(self, stage: str) -> None:
        """What the sample needs of the others before the next stage."""
        if stage == "advertise":
            for index in set(range(self._group.size)) - set(self._sample):
                self._rounds[index] = self._begin(index)
                self._advertisements[index] = self._rounds[index].advertise()
        if stage == "share":
            for index in self._near:
                self._envelopes[index] = self._rounds[index].share(self._keys_for(index))
        if stage == "confirm":
            for index in self._near & self._survivors:
                self._signatures[index] = sign_survivors(
                    self._keys[index], self._id, self._survivors, self._group.size
                )

    def cost(self) -> Cost:
        """What it came to."""
        message = roster_message(self._id, self._roster)
        started = time.process_time()
        Group.of(self._study, messages.read_roster(message))
        seconds = time.process_time() - started
        return Cost(
            self._group.size,
            self._group.topology.degree,
            self._median(_STAGES),
            self._median(_STAGES[:3] if self._group.topology.is_complete else _STAGES),
            median(self._traffic(index).bytes() for index in self._sample),
            seconds,
            wire_bytes(message),
        )

    # -- the stages at one participant --------------------------------------------------------

    def _advertise(self, index: int) -> None:
        self._rounds[index] = self._timed("advertise", index, lambda: self._begin(index))
        self._advertisements[index] = self._timed("advertise", index, self._rounds[index].advertise)

    def _share(self, index: int) -> None:
        keys = self._keys_for(index)
        self._envelopes[index] = self._timed(
            "share", index, lambda: self._rounds[index].share(keys)
        )

    def _mask(self, index: int) -> None:
        words = np.zeros(Averaging(self._study, self._group.size).length, np.uint64)
        envelopes = self._envelopes_for(index)
        masked = self._timed(
            "mask", index, lambda: self._rounds[index].mask(envelopes, words, _BINDING)
        )
        self._masked[index] = masked

    def _confirm(self, index: int) -> None:
        signature = self._timed(
            "confirm", index, lambda: self._rounds[index].confirm(self._survivors)
        )
        self._signatures[index] = signature

    def _reveal(self, index: int) -> None:
        signatures = self._signatures_for(index)
        revealed = self._timed("reveal", index, lambda: self._rounds[index].reveal(signatures))
        self._revealed[index] = revealed

    def _begin(self, index: int) -> SecureRound:
        return SecureRound(self._id, self._group, index, self._keys[index])

    def _timed(self, stage: str, index: int, step: Callable[[], Result]) -> Result:
        started = time.process_time()
        result = step()
        self._seconds[index][stage] += time.process_time() - started
        return result

    def _median(self, stages: Sequence[str]) -> float:
        return median(sum(times[stage] for stage in stages) for times in self._seconds.values())

    # -- what it gets and sends ---------------------------------------------------------------

    def _keys_for(self, index: int) -> dict[int, Advertisement]:
        holders = self._group.topology.holders(index)
        return {holder: self._advertisements[holder] for holder in holders}

    def _envelopes_for(self, index: int) -> dict[int, bytes]:
        near = self._group.topology.neighbours(index)
        return {other: self._envelopes[other][index] for other in near}

    def _signatures_for(self, index: int) -> dict[int, bytes]:
        holders = self._survivors.intersection(self._group.topology.holders(index))
        return {holder: self._signatures[holder] for holder in holders}

    def _traffic(self, index: int) -> Traffic:
        return Traffic(
            self._study,
            self._id,
            keys=self._keys_for(index),
            envelopes_in=self._envelopes_for(index),
            survivors=self._survivors,
            signatures=self._signatures_for(index),
            own_keys=self._advertisements[index],
            envelopes_out=self._envelopes[index],
            words=self._masked[index],
            own_signature=self._signatures[index],
            revealed=self._revealed[index],
        )


def _roster(keys: list[ec.EllipticCurvePrivateKey]) -> Roster:
    return Roster(
        members=tuple(
            Member(name=f"p{index}", key=participant_key_text(key.public_key()))
            for index, key in enumerate(keys)
        )
    )


__all__ = ["FEW", "MANY", "SAMPLE", "Cost", "measure_scaling"]
