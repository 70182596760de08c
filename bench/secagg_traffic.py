"""The messages of one round to and from one participant, as `server_app.secure_sums` puts them.

A round brings the keys and shares of the next one along. Theirs are as long as those of this round,
which stand in for them here.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from flwr.app import RecordDict

from bench.wire import wire_bytes
from blindfit.estimators import initial_parameters
from blindfit.federation_messages import message_of, write_instruction, write_next, write_words
from blindfit.roster import Roster
from blindfit.secagg import messages
from blindfit.secagg.masks import Words
from blindfit.secagg.round_id import RoundId
from blindfit.secagg.statements import Advertisement
from blindfit.study import Study
from client_app.secure_round import Revealed


@dataclass(frozen=True)
class Traffic:
    """What a participant gets in a round, and what it says."""

    study: Study
    round_id: RoundId
    keys: dict[int, Advertisement]
    envelopes_in: dict[int, bytes]
    survivors: frozenset[int]
    signatures: dict[int, bytes]
    own_keys: Advertisement
    envelopes_out: dict[int, bytes]
    words: Words
    own_signature: bytes
    revealed: Revealed

    def bytes(self) -> int:
        """All of it, as it is sent."""
        return sum(wire_bytes(message) for message in self._messages())

    def _messages(self) -> Iterator[RecordDict]:
        down = write_instruction(self.round_id, "fit", initial_parameters(self.study))
        yield messages.write_envelopes(self._with_next(down), self.envelopes_in)
        yield messages.write_advertisements(write_words(self.words), {0: self.own_keys})

        yield messages.write_survivors(self._asked(), self.survivors)
        yield messages.write_signatures(message_of(), {0: self.own_signature})

        down = messages.write_signatures(self._with_next(self._asked()), self.signatures)
        yield messages.write_advertisements(down, self.keys)
        up = messages.write_revealed(self.revealed.self_seeds, self.revealed.key_seeds)
        yield messages.write_envelopes(up, self.envelopes_out)

    def _asked(self) -> RecordDict:
        return write_instruction(self.round_id, "fit")

    def _with_next(self, content: RecordDict) -> RecordDict:
        return write_next(content, self.round_id.round + 1)


def roster_message(round_id: RoundId, roster: Roster) -> RecordDict:
    """What a training, and a round after one that failed, begins with."""
    return messages.write_roster(write_instruction(round_id, "fit"), roster)


__all__ = ["Traffic", "roster_message"]
