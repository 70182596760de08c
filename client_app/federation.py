"""The Flower ClientApp: a thin adapter over `client_app.training`.

The node's configuration holds ``study`` and ``data`` (paths), ``out-of-bounds`` and ``events`` (a
file for progress). They are the participant's own; the coordinator cannot change them.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any, cast

from flwr.app import Context, Error, Message, RecordDict
from flwr.clientapp import ClientApp

from blindfit.dataset import Dataset, load
from blindfit.errors import TrainingError
from blindfit.estimators import Parameters, parameter_shapes
from blindfit.events import append_event
from blindfit.federation_messages import (
    Instruction,
    read_goodbye,
    read_instruction,
    write_reply,
)
from blindfit.study import Study, load_study
from client_app.training import evaluate_local, fit_local

REFUSED = 100  # an error code of our own; Flower's are below

_log = logging.getLogger(__name__)


def train(message: Message, context: Context) -> Message:
    """Reply with an update, and the metrics of the incoming model: one message a round."""
    return _answer(message, context, _train)


def evaluate(message: Message, context: Context) -> Message:
    """Reply with the metrics of the final model; the study ends with it."""
    return _answer(message, context, _evaluate)


def query(message: Message, context: Context) -> Message:
    """Take note of why the coordinator ended the study early."""
    _tell(context, "ended", reason=read_goodbye(message.content))
    return Message(RecordDict(), reply_to=message)


def _train(instruction: Instruction, study: Study, data: Dataset, context: Context) -> RecordDict:
    started = time.monotonic()
    parameters = _checked(instruction, study)
    metrics = evaluate_local(study, parameters, data.X, data.y)
    update = fit_local(study, parameters, data.X, data.y, seed=instruction.round)
    seconds = round(time.monotonic() - started, 3)
    _tell(context, "trained", round=instruction.round, rows=len(data.X), seconds=seconds)
    return write_reply(metrics, update)


def _evaluate(
    instruction: Instruction, study: Study, data: Dataset, context: Context
) -> RecordDict:
    metrics = evaluate_local(study, _checked(instruction, study), data.X, data.y)
    _tell(context, "finished", score=metrics.score(study), loss=metrics.mean_loss())
    return write_reply(metrics)


def _answer(
    message: Message,
    context: Context,
    work: Callable[[Instruction, Study, Dataset, Context], RecordDict],
) -> Message:
    try:
        config = context.node_config
        study = load_study(Path(str(config["study"])))
        instruction = read_instruction(message.content)
        if instruction.study_digest != study.digest:
            raise TrainingError("the coordinator's study differs from this participant's")
        data = _rows(study.digest, str(config["study"]), str(config["data"]), _bounds(config))
        return Message(work(instruction, study, data, context), reply_to=message)
    except TrainingError as error:
        return _refusal(message, context, str(error))
    except Exception as error:  # noqa: BLE001 - its text may quote rows, and Flower would send it
        _log.exception("the round failed here; the coordinator is told the kind of error only")
        return _refusal(message, context, f"{type(error).__name__} at the participant")


def _refusal(message: Message, context: Context, reason: str) -> Message:
    _tell(context, "refused", reason=reason)
    return Message(Error(REFUSED, reason), reply_to=message)


def _checked(instruction: Instruction, study: Study) -> Parameters:
    if [array.shape for array in instruction.parameters] != parameter_shapes(study):
        raise TrainingError("the coordinator's parameters do not have the study's shapes")
    return cast(Parameters, instruction.parameters)


def _bounds(config: Any) -> str:
    return str(config.get("out-of-bounds", "error"))


@lru_cache(maxsize=32)
def _rows(digest: str, study: str, data: str, out_of_bounds: str) -> Dataset:
    del digest  # part of the key: another study reads the same file differently
    return load(load_study(Path(study)), Path(data), "clip" if out_of_bounds == "clip" else "error")


def _tell(context: Context, event: str, **details: Any) -> None:
    if "events" in context.node_config:
        append_event(Path(str(context.node_config["events"])), event, **details)


app = ClientApp()
app.train()(train)
app.evaluate()(evaluate)
app.query()(query)
