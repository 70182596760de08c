"""A participant in a training: answers what the coordinator asks, or refuses with the reason.

It has the rows, the identity that signs, the memory of the run and the privacy budget. Everything
that leaves it goes through one of the methods below; none of them reads or writes Flower.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Protocol

import numpy as np
from cryptography.hazmat.primitives.asymmetric import ec

from blindfit.averaging import READABLE_ADDENDS
from blindfit.dataset import Dataset
from blindfit.errors import ProtocolError, TrainingError
from blindfit.estimators import Parameters, unflatten
from blindfit.federation_messages import Instruction
from blindfit.metrics import Metrics
from blindfit.roster import Roster, participant_key_text
from blindfit.secagg.group import Group
from blindfit.secagg.masks import Words
from blindfit.secagg.round_id import RoundId
from blindfit.secagg.statements import Advertisement
from blindfit.study import Study
from client_app.contribution import Contribution, make_contribution
from client_app.run_memory import RunMemory
from client_app.secure_round import Revealed, SecureRound

Tell = Callable[..., None]
# Rounds may fail after they were revealed here, and the last model is measured.
_SUMS_A_ROUND, _MORE_SUMS = 2, 10


class Ledger(Protocol):
    """What a participant may still give away; `client_app.budget.Budget` keeps it."""

    def charge(self, study: Study, round_id: RoundId, rho: float) -> None:
        """Book one input; raises `TrainingError` when the limit is reached."""

    def reuse(self, study: Study, abandoned: RoundId, round_id: RoundId) -> bool:
        """Take the charge of a round that can never be unmasked; False if there is none."""


class Participant:
    """One participant of ``study`` with its rows.

    ``tell`` gets events for the person: trained, refused, roster.
    """

    def __init__(
        self,
        study: Study,
        data: Dataset,
        identity: ec.EllipticCurvePrivateKey,
        memory: RunMemory,
        ledger: Ledger | None = None,
        tell: Tell = lambda *args, **kwargs: None,
    ) -> None:
        self.study = study
        self._data, self._identity, self._memory, self._ledger = data, identity, memory, ledger
        self._tell = tell
        self._key = participant_key_text(identity.public_key())
        self._roster: Roster | None = None
        self._turns: dict[int, SecureRound] = {}  # by round: the one going on, and the next
        self._score: Metrics | None = None

    def advertise(self, asked: Instruction, announced: Roster) -> Advertisement:
        """Begin a round: fresh keys, signed. ``announced`` is whom the coordinator names.

        Whatever went on before is over here.
        """
        self._require_study(asked.round_id)
        self._turns.clear()
        self._roster = self._agreed(announced)
        return self._begin(asked.round_id, self._memory.known.revealed)

    def share(self, asked: Instruction, keys: Mapping[int, Advertisement]) -> dict[int, bytes]:
        """Sealed shares for those whose keys came."""
        return self._current(asked).share(keys)

    def contribute(
        self, asked: Instruction, envelopes: Mapping[int, bytes], following: int | None = None
    ) -> tuple[Words, Advertisement | None]:
        """This participant's masked input to the round's sum, and keys for round ``following``."""
        secure, started = self._current(asked), time.monotonic()
        # Rounds go on in their order: none is revealed after a later one has been contributed to.
        self._turns = {asked.round_id.round: secure}
        contribution = make_contribution(self.study, len(self._known_roster()))
        words, metrics = self._words(contribution, asked)
        # The shares are checked before anything is booked: a round that stops here costs nothing.
        masked = secure.mask(envelopes, words, asked.binding)
        try:
            self._charge(secure, contribution, asked.round_id)
        except TrainingError:
            secure.forget()
            raise
        self._memory.sending(asked.round_id)
        self._done(asked, metrics, started)
        if following is None:
            return masked, None
        # This round may still be revealed, so that is what the keys of the next one say.
        after = RoundId(asked.round_id.study, asked.round_id.run, following)
        return masked, self._begin(after, asked.round_id.round)

    def contribute_readably(self, asked: Instruction) -> Words:
        """This participant's input, unmasked: only for a study without secure aggregation."""
        self._require_study(asked.round_id)
        if self.study.privacy.secure_aggregation:
            raise ProtocolError("the coordinator asked for an input that it could read")
        started = time.monotonic()
        self._memory.begin(asked.round_id, "")
        contribution = make_contribution(self.study, READABLE_ADDENDS)
        words, metrics = self._words(contribution, asked)
        if self._ledger is not None and contribution.rho:
            self._ledger.charge(self.study, asked.round_id, contribution.rho)
        self._done(asked, metrics, started)
        return words

    def confirm(self, asked: Instruction, survivors: frozenset[int]) -> bytes:
        """A signature of whose inputs are added up."""
        return self._current(asked).confirm(survivors)

    def reveal(
        self,
        asked: Instruction,
        signatures: Mapping[int, bytes],
        following: int | None = None,
        keys: Mapping[int, Advertisement] | None = None,
    ) -> tuple[Revealed, dict[int, bytes]]:
        """What unmasks the sum, and sealed shares for round ``following``; this one is over."""
        secure = self._current(asked)
        del self._turns[asked.round_id.round]
        rounds = self.study.federation.rounds
        self._memory.revealing(asked.round_id, _SUMS_A_ROUND * rounds + _MORE_SUMS)
        revealed = secure.reveal(signatures)
        if following is None or following not in self._turns:
            return revealed, {}
        return revealed, self._turns[following].share(keys or {})

    def end(self, reason: str) -> None:
        """The coordinator ended the study; ``reason`` is empty if it is finished."""
        self._turns.clear()
        if reason:
            self._tell("ended", reason=reason)
            return
        scored = self._score
        score = None if scored is None else scored.score(self.study)
        loss = None if scored is None else scored.mean_loss()
        self._tell("finished", score=score, loss=loss)

    def _begin(self, round_id: RoundId, revealed: int) -> Advertisement:
        roster = self._known_roster()
        group, me = Group.of(self.study, roster), roster.index_of(self._key)
        if me is None:
            raise ProtocolError(
                "this participant is not in the study's list",
                hint="ask the coordinator to add this participant's key to the study",
            )
        self._memory.begin(round_id, roster.digest)
        secure = SecureRound(round_id, group, me, self._identity)
        self._turns[round_id.round] = secure
        return secure.advertise(revealed)

    def _current(self, asked: Instruction) -> SecureRound:
        self._require_study(asked.round_id)
        secure = self._turns.get(asked.round_id.round)
        if secure is None or secure.round_id != asked.round_id:
            raise ProtocolError(
                f"round {asked.round_id.round}: it was not begun here, or it is over"
            )
        return secure

    def _known_roster(self) -> Roster:
        if self._roster is None:
            raise ProtocolError("the coordinator did not say who takes part")
        return self._roster

    def _require_study(self, round_id: RoundId) -> None:
        if round_id.study != self.study.digest:
            raise ProtocolError("the coordinator's study differs from this participant's")

    def _agreed(self, announced: Roster) -> Roster:
        """The study's participants, else those whom the coordinator names."""
        pinned = self.study.roster()
        if pinned is not None:
            if announced.digest != pinned.digest:
                raise ProtocolError("the coordinator's participants are not the study's")
            return pinned
        if announced.digest != self._memory.known.roster:
            self._tell("roster", names=[member.name for member in announced.members])
        return announced

    def _words(self, contribution: Contribution, asked: Instruction) -> tuple[Words, Metrics]:
        return contribution.words(
            asked.purpose, _checked(asked, self.study), self._data, asked.round_id.round
        )

    def _charge(self, secure: SecureRound, contribution: Contribution, round_id: RoundId) -> None:
        if self._ledger is None or not contribution.rho:
            return
        abandoned, said = self._memory.known.abandoned, secure.last_revealed()
        # If everybody there is says that nothing of that round was or will be revealed, it stays
        # masked for ever: what was charged for it is free again.
        everybody = len(said) == len(self._known_roster())
        if abandoned and everybody and max(said.values()) < abandoned:
            before = RoundId(round_id.study, round_id.run, abandoned)
            if self._ledger.reuse(self.study, before, round_id):
                return
        self._ledger.charge(self.study, round_id, contribution.rho)

    def _done(self, asked: Instruction, metrics: Metrics, started: float) -> None:
        self._score = metrics
        if asked.purpose == "fit":
            seconds = round(time.monotonic() - started, 3)
            rows = len(self._data.X)
            self._tell("trained", round=asked.round_id.round, rows=rows, seconds=seconds)


def _checked(asked: Instruction, study: Study) -> Parameters:
    if not np.isfinite(asked.parameters).all():
        raise ProtocolError("the coordinator's parameters are not finite")
    return unflatten(study, asked.parameters)


__all__ = ["Ledger", "Participant"]
