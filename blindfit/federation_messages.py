"""What coordinator and participants say to each other in a training, as one Flower record each.

Every message names its study, run and round. A message is one record of plain values, arrays as
bytes. `blindfit.secagg.messages` has what secure aggregation adds.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from flwr.app import ConfigRecord, RecordDict
from numpy.typing import NDArray

from blindfit.errors import UpdateError
from blindfit.estimators import Parameters, flatten
from blindfit.secagg.masks import Words, from_bytes, to_bytes
from blindfit.secagg.round_id import RoundId

Purpose = Literal["fit", "evaluate"]
# What a participant may send in a round: a message is one request, and the proxy before the
# coordinator takes 16 MiB (packaging/nginx).
MAX_WORDS = (15 << 20) // 8
_RECORD = "blindfit"
_NUMBER = np.dtype("<f8")
_MAX_ROUND = 1 << 40
_DIGEST, _RUN = re.compile(r"[0-9a-f]{64}"), re.compile(r"[0-9a-f]{32}")


@dataclass(frozen=True)
class Instruction:
    """What a participant is asked: the round, what for, and the global parameters.

    ``parameters`` are all numbers one after the other, (n,), empty where none are needed.
    """

    round_id: RoundId
    purpose: Purpose
    parameters: NDArray[np.float64]

    @property
    def binding(self) -> bytes:
        """What masks depend on: those of participants that were asked differently do not cancel."""
        return binding_of(self.purpose, self.parameters)


def binding_of(purpose: Purpose, parameters: NDArray[np.float64]) -> bytes:
    """SHA-256 of what a round asks for, with ``parameters`` (n,) one after the other."""
    return hashlib.sha256(purpose.encode() + b"\n" + parameters.astype(_NUMBER).tobytes()).digest()


def record_of(content: RecordDict) -> ConfigRecord:
    """The one record of a message; empty if it is not there."""
    record = content.config_records.get(_RECORD)
    return ConfigRecord() if record is None else record  # one without values is false


def message_of(**values: Any) -> RecordDict:
    """A message with these values."""
    return RecordDict({_RECORD: ConfigRecord(values)})


def write_instruction(
    round_id: RoundId, purpose: Purpose, parameters: Parameters | None = None
) -> RecordDict:
    """The content of a message to a participant."""
    content = message_of(
        study=round_id.study, run=round_id.run, round=round_id.round, purpose=purpose
    )
    if parameters is not None:
        record_of(content)["parameters"] = flatten(parameters).astype(_NUMBER).tobytes()
    return content


def read_instruction(content: RecordDict) -> Instruction:
    """What a message asks; raises `UpdateError` if it does not say it as agreed."""
    record = record_of(content)
    study, run, number = record.get("study"), record.get("run"), record.get("round")
    if not (isinstance(study, str) and _DIGEST.fullmatch(study)):
        raise UpdateError("the coordinator's message names no study")
    if not (isinstance(run, str) and _RUN.fullmatch(run)):
        raise UpdateError("the coordinator's message names no run")
    if type(number) is not int or not 1 <= number < _MAX_ROUND:
        raise UpdateError("the coordinator's message names no round")
    purpose = record.get("purpose")
    if purpose not in ("fit", "evaluate"):
        raise UpdateError("the coordinator's message does not say what for")
    asked: Any = purpose
    return Instruction(RoundId(study, run, number), asked, _read_parameters(record))


def _read_parameters(record: ConfigRecord) -> NDArray[np.float64]:
    data = record.get("parameters", b"")
    if not isinstance(data, bytes) or len(data) % _NUMBER.itemsize:
        raise UpdateError("the coordinator's parameters are not numbers")
    return np.frombuffer(data, _NUMBER).astype(np.float64)


def write_next(content: RecordDict, next_round: int) -> RecordDict:
    """Adds for which round new keys are wanted; returns ``content``."""
    record_of(content)["next"] = next_round
    return content


def read_next(content: RecordDict) -> int | None:
    """For which round new keys are wanted, if for any."""
    number = record_of(content).get("next")
    if number is not None and (type(number) is not int or not 1 <= number < _MAX_ROUND):
        raise UpdateError("the coordinator's next round is none")
    return number


def write_end(reason: str) -> RecordDict:
    """The content of the message with which a study ends; ``reason`` is empty if it is finished."""
    return message_of(reason=reason)


def read_end(content: RecordDict) -> str:
    """Why the coordinator ended the study; empty if it is finished."""
    return str(record_of(content).get("reason", "no reason given"))


def write_words(words: Words) -> RecordDict:
    """A participant's input to a sum."""
    return message_of(words=to_bytes(words))


def read_words(content: RecordDict, length: int) -> Words:
    """``length`` words; raises `UpdateError` for anything else."""
    data = record_of(content).get("words")
    if not isinstance(data, bytes):
        raise UpdateError("the reply has no input")
    try:
        return from_bytes(data, length)
    except ValueError as error:
        raise UpdateError(f"the input is not as long as the study's: {error}") from error
