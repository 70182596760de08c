"""What coordinator and participants say to each other in a training, as Flower's records.

Every message names its study, run and round. Bytes from a peer are not parsed by numpy: an array
must repeat, byte for byte, the header that ``numpy.save`` writes for the shape and type that it
declares. `blindfit.secagg.messages` has what secure aggregation adds.
"""

from __future__ import annotations

import io
import math
import re
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from flwr.app import Array, ArrayRecord, ConfigRecord, RecordDict
from numpy.typing import NDArray

from blindfit.errors import UpdateError
from blindfit.estimators import Parameters
from blindfit.secagg.masks import Words, from_bytes, to_bytes
from blindfit.secagg.round_id import RoundId

Purpose = Literal["fit", "evaluate"]
_PARAMETERS, _INSTRUCTION, _WORDS = "parameters", "instruction", "words"
_MAX_ARRAYS = 16
_MAX_DIMENSIONS = 2  # coefficients; an intercept has one
_MAX_ROUND = 1 << 40
_DIGEST, _RUN = re.compile(r"[0-9a-f]{64}"), re.compile(r"[0-9a-f]{32}")


@dataclass(frozen=True)
class Instruction:
    """What a participant is asked: the round, what for, and the global parameters if any."""

    round_id: RoundId
    purpose: Purpose
    parameters: list[NDArray[np.generic]]


def write_instruction(
    round_id: RoundId, purpose: Purpose, parameters: Parameters | None = None
) -> RecordDict:
    """The content of a message to a participant."""
    config = ConfigRecord(
        {
            "study": round_id.study,
            "run": round_id.run,
            "round": round_id.round,
            "purpose": purpose,
        }
    )
    content = RecordDict({_INSTRUCTION: config})
    if parameters is not None:
        content[_PARAMETERS] = ArrayRecord(parameters)
    return content


def read_instruction(content: RecordDict) -> Instruction:
    """What a message asks; raises `UpdateError` if it does not say it as agreed."""
    config = content.config_records.get(_INSTRUCTION) or ConfigRecord()
    study, run, number = config.get("study"), config.get("run"), config.get("round")
    if not (isinstance(study, str) and _DIGEST.fullmatch(study)):
        raise UpdateError("the coordinator's message names no study")
    if not (isinstance(run, str) and _RUN.fullmatch(run)):
        raise UpdateError("the coordinator's message names no run")
    if type(number) is not int or not 1 <= number < _MAX_ROUND:
        raise UpdateError("the coordinator's message names no round")
    purpose = config.get("purpose")
    if purpose not in ("fit", "evaluate"):
        raise UpdateError("the coordinator's message does not say what for")
    asked: Any = purpose
    return Instruction(RoundId(study, run, number), asked, _read_parameters(content))


def write_end(reason: str) -> RecordDict:
    """The content of the message with which a study ends; ``reason`` is empty if it is finished."""
    return RecordDict({_INSTRUCTION: ConfigRecord({"reason": reason})})


def read_end(content: RecordDict) -> str:
    """Why the coordinator ended the study; empty if it is finished."""
    return str((content.config_records.get(_INSTRUCTION) or {}).get("reason", "no reason given"))


def write_words(words: Words) -> RecordDict:
    """A participant's input to a sum."""
    return RecordDict({_WORDS: ConfigRecord({"words": to_bytes(words)})})


def read_words(content: RecordDict, length: int) -> Words:
    """``length`` words; raises `UpdateError` for anything else."""
    data = (content.config_records.get(_WORDS) or {}).get("words")
    if not isinstance(data, bytes):
        raise UpdateError("the reply has no input")
    try:
        return from_bytes(data, length)
    except ValueError as error:
        raise UpdateError(f"the input is not as long as the study's: {error}") from error


def _read_parameters(content: RecordDict) -> list[NDArray[np.generic]]:
    record = content.array_records.get(_PARAMETERS) or {}
    if len(record) > _MAX_ARRAYS:
        raise UpdateError(f"{len(record)} arrays; at most {_MAX_ARRAYS} are read")
    return [_read_array(array) for array in record.values()]


def _read_array(array: Array) -> NDArray[np.generic]:
    shape = tuple(array.shape)
    if len(shape) > _MAX_DIMENSIONS:
        raise UpdateError(
            f"an array of {len(shape)} dimensions; at most {_MAX_DIMENSIONS} are read"
        )
    kind = {"float64": np.float64, "float32": np.float32, "int64": np.int64}.get(array.dtype)
    if kind is None or not all(isinstance(n, int) and n >= 0 for n in shape):
        raise UpdateError(f"an array of {array.dtype!s:.40} {shape!s:.40} is not read")
    item = np.dtype(kind)
    header = _npy_header(shape, item)
    size = math.prod(shape) * item.itemsize
    if len(array.data) != len(header) + size or not array.data.startswith(header):
        raise UpdateError("an array is not what it declares")
    try:
        return np.frombuffer(array.data, item, offset=len(header)).reshape(shape).copy()
    except (ValueError, OverflowError) as error:  # no bytes, yet a side longer than numpy counts
        raise UpdateError(f"an array of {shape!s:.60} is not read") from error


def _npy_header(shape: tuple[int, ...], item: np.dtype[np.generic]) -> bytes:
    file = io.BytesIO()
    description = {"descr": item.str, "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(file, description)  # type: ignore[no-untyped-call]
    return file.getvalue()
