"""What coordinator and participants say to each other, as Flower's records.

Bytes from a peer are not parsed by numpy: an array must repeat, byte for byte, the header that
``numpy.save`` writes for the shape and type that it declares.
"""

from __future__ import annotations

import io
import math
from dataclasses import dataclass, fields

import numpy as np
from flwr.app import Array, ArrayRecord, ConfigRecord, MetricRecord, RecordDict
from numpy.typing import NDArray

from blindfit.errors import UpdateError
from blindfit.estimators import Parameters
from blindfit.metrics import Metrics
from blindfit.study import Study

_PARAMETERS, _METRICS, _INSTRUCTION = "parameters", "metrics", "instruction"
_MAX_ARRAYS = 16
_MAX_DIMENSIONS = 2  # coefficients; an intercept has one


@dataclass(frozen=True)
class Instruction:
    """What a participant is asked: the study by its digest, the round, the global parameters."""

    study_digest: str
    round: int
    parameters: list[NDArray[np.generic]]


def write_instruction(study: Study, round_number: int, parameters: Parameters) -> RecordDict:
    """The content of a ``train`` or ``evaluate`` message."""
    config = ConfigRecord({"study": study.digest, "round": round_number})
    return RecordDict({_INSTRUCTION: config, _PARAMETERS: ArrayRecord(parameters)})


def read_instruction(content: RecordDict) -> Instruction:
    """What a message asks; raises `UpdateError` if it does not say it as agreed."""
    config = content.config_records.get(_INSTRUCTION) or ConfigRecord()
    digest, number = config.get("study"), config.get("round")
    if not isinstance(digest, str) or not isinstance(number, int):
        raise UpdateError("the coordinator's message names no study and round")
    return Instruction(digest, number, _read_parameters(content))


def write_goodbye(reason: str) -> RecordDict:
    """The content of the ``query`` message with which a failed study ends."""
    return RecordDict({_INSTRUCTION: ConfigRecord({"reason": reason})})


def read_goodbye(content: RecordDict) -> str:
    """Why the coordinator ended the study."""
    return str((content.config_records.get(_INSTRUCTION) or {}).get("reason", "no reason given"))


def write_reply(metrics: Metrics, parameters: Parameters | None = None) -> RecordDict:
    """A participant's answer: metrics of the global model and, after training, the update."""
    content = RecordDict({_METRICS: MetricRecord(metrics.as_dict())})
    if parameters is not None:
        content[_PARAMETERS] = ArrayRecord(parameters)
    return content


def read_reply(content: RecordDict) -> tuple[Metrics, list[NDArray[np.generic]]]:
    """Metrics and update (empty without one); raises `UpdateError` for what cannot be read."""
    sums = content.metric_records.get(_METRICS)
    names = [field.name for field in fields(Metrics)]
    if sums is None or sorted(sums) != sorted(names):
        raise UpdateError("the reply has no metrics")
    values = [sums[name] for name in names]
    if not all(isinstance(value, int | float) for value in values):
        raise UpdateError("the reply's metrics are not numbers")
    return Metrics(*values), _read_parameters(content)


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
