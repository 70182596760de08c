"""The Flower ClientApp: a thin adapter over `client_app.participant`.

One message type for each stage of a round: ``query.advertise``, ``query.share``, ``train.masked``
(or ``train.readable`` in a study without secure aggregation), ``query.confirm``, ``query.reveal``;
and ``query.end``.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

from flwr.app import Context, Error, Message, RecordDict
from flwr.clientapp import ClientApp

from blindfit.errors import BudgetError, ProtocolError, TrainingError, UpdateError
from blindfit.federation_messages import (
    message_of,
    read_end,
    read_instruction,
    read_next,
    write_words,
)
from blindfit.secagg import messages
from client_app.participant import Participant, Tell

REFUSED = 100  # an error code of our own; Flower's are below

_log = logging.getLogger(__name__)
Stage = Callable[[Participant, RecordDict], RecordDict]


def advertise(participant: Participant, content: RecordDict) -> RecordDict:
    """Keys for a round that begins."""
    asked, roster = read_instruction(content), messages.read_roster(content)
    advertisement = participant.advertise(asked, roster)
    return messages.write_advertisements(message_of(), {0: advertisement})


def share(participant: Participant, content: RecordDict) -> RecordDict:
    """Sealed shares for the others."""
    keys = messages.read_advertisements(content)
    envelopes = participant.share(read_instruction(content), keys)
    return messages.write_envelopes(message_of(), envelopes)


def masked(participant: Participant, content: RecordDict) -> RecordDict:
    """An update with the metrics of the incoming model, masked; and keys for the next round."""
    envelopes, following = messages.read_envelopes(content), read_next(content)
    words, keys = participant.contribute(read_instruction(content), envelopes, following)
    reply = write_words(words)
    return reply if keys is None else messages.write_advertisements(reply, {0: keys})


def readable(participant: Participant, content: RecordDict) -> RecordDict:
    """An update with the metrics of the incoming model, for a study without secure aggregation."""
    return write_words(participant.contribute_readably(read_instruction(content)))


def confirm(participant: Participant, content: RecordDict) -> RecordDict:
    """A signature of whose inputs are added up."""
    survivors = messages.read_survivors(content)
    signature = participant.confirm(read_instruction(content), survivors)
    return messages.write_signatures(message_of(), {0: signature})


def reveal(participant: Participant, content: RecordDict) -> RecordDict:
    """What unmasks the sum; and sealed shares for the next round."""
    asked, signatures = read_instruction(content), messages.read_signatures(content)
    following = read_next(content)
    keys = {} if following is None else messages.read_advertisements(content)
    revealed, envelopes = participant.reveal(asked, signatures, following, keys)
    reply = messages.write_revealed(revealed.self_seeds, revealed.key_seeds)
    return messages.write_envelopes(reply, envelopes)


def end(participant: Participant, content: RecordDict) -> RecordDict:
    """Take note of how the coordinator ended the study."""
    participant.end(read_end(content))
    return RecordDict()


def make_client_app(participant: Participant, tell: Tell) -> ClientApp:
    """The ClientApp of one participant; ``tell`` gets why something was refused."""
    app = ClientApp()
    for action in (advertise, share, confirm, reveal, end):
        app.query(action.__name__)(_handler(action, participant, tell))
    for action in (masked, readable):
        app.train(action.__name__)(_handler(action, participant, tell))
    return app


def _handler(
    stage: Stage, participant: Participant, tell: Tell
) -> Callable[[Message, Context], Message]:
    def handle(message: Message, context: Context) -> Message:
        del context
        try:
            return Message(stage(participant, message.content), reply_to=message)
        except TrainingError as error:
            told, reason = str(error), _for_the_coordinator(error)
        except Exception as error:  # noqa: BLE001 - its text may quote rows, and Flower would send it
            _log.exception("the round failed here; the coordinator is told the kind of error only")
            told = reason = f"{type(error).__name__} at the participant"
        tell("refused", reason=told)
        return Message(Error(REFUSED, reason), reply_to=message)

    return handle


def _for_the_coordinator(error: TrainingError) -> str:
    """What a refusal says: of what the coordinator did all, of the participant's own nothing.

    A number of rows, or what is left of a budget, would be a release without noise.
    """
    if isinstance(error, ProtocolError | UpdateError):
        return str(error)
    if isinstance(error, BudgetError):
        return "its privacy budget does not allow this round"
    return "its rows could not be trained with"


__all__ = ["REFUSED", "make_client_app"]
