"""A secure sum with real participants and a real coordinator, stage by stage."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import numpy as np
from cryptography.hazmat.primitives.asymmetric import ec

from blindfit.roster import Member, Roster, participant_key_text
from blindfit.secagg.group import Group
from blindfit.secagg.masks import Words
from blindfit.secagg.round_id import RoundId
from blindfit.secagg.topology import topology
from client_app.secure_round import SecureRound
from server_app.secure_sum import SecureSum

STUDY, RUN = "ab" * 32, "cd" * 16
BINDING = b"what was asked"
STAGES = ("share", "mask", "confirm", "reveal")


def make_group(size: int, threshold: int) -> tuple[Group, list[ec.EllipticCurvePrivateKey]]:
    keys = [ec.generate_private_key(ec.SECP384R1()) for _ in range(size)]
    members = tuple(
        Member(name=f"p{i}", key=participant_key_text(key.public_key()))
        for i, key in enumerate(keys)
    )
    return Group(Roster(members=members), topology(STUDY, size, threshold), threshold), keys


@dataclass
class Session:
    """One round; ``gone`` maps a stage to those who drop out before they answer it."""

    group: Group
    keys: list[ec.EllipticCurvePrivateKey]
    length: int = 5
    round: int = 1
    gone: dict[str, set[int]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.round_id = RoundId(STUDY, RUN, self.round)
        self.participants = [
            SecureRound(self.round_id, self.group, i, key) for i, key in enumerate(self.keys)
        ]
        self.sum = SecureSum(self.round_id, self.group)
        self.sum.asking(BINDING)
        self.inputs = [
            np.random.default_rng(i).integers(0, 1 << 40, self.length).astype(np.uint64)
            for i in range(self.group.size)
        ]
        self.received: dict[int, Words] = {}

    def left(self, stage: str) -> Iterable[int]:
        """Those who answer ``stage``: nobody comes back."""
        stages = STAGES[: STAGES.index(stage) + 1]
        away = set().union(*(self.gone.get(name, set()) for name in stages))
        return [i for i in range(self.group.size) if i not in away]

    def advertise(self) -> None:
        for i, participant in enumerate(self.participants):
            self.sum.advertised(i, participant.advertise())

    def share(self) -> None:
        for i in self.left("share"):
            self.sum.shared(i, self.participants[i].share(self.sum.keys_for(i)))

    def mask(self) -> None:
        for i in self.left("mask"):
            envelopes = self.sum.envelopes_for(i)
            self.received[i] = self.participants[i].mask(envelopes, self.inputs[i], BINDING)
            self.sum.masked(i, self.received[i])

    def confirm(self) -> None:
        for i in self.left("confirm"):
            self.sum.confirmed(i, self.participants[i].confirm(self.sum.survivors))

    def reveal(self) -> None:
        for i in self.left("reveal"):
            revealed = self.participants[i].reveal(self.sum.signatures_for(i))
            self.sum.revealed(i, revealed.self_seeds, revealed.key_seeds)

    def until(self, stage: str) -> Session:
        """Go through the stages before ``stage``."""
        steps: dict[str, Callable[[], None]] = {
            "advertise": self.advertise,
            "share": self.share,
            "mask": self.mask,
            "confirm": self.confirm,
            "reveal": self.reveal,
        }
        for name, step in steps.items():
            if name == stage:
                break
            step()
        return self

    def expected(self) -> Words:
        return sum((self.inputs[i] for i in self.left("mask")), np.zeros(self.length, np.uint64))
