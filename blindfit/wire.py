"""Protobuf to dataclasses and back: the only place that knows both."""

from __future__ import annotations

from typing import cast

from google.protobuf.message import DecodeError

from blindfit.errors import BlindfitError, ResponseMismatchError
from blindfit.v1 import (
    common_pb2,
    enrollment_pb2,
    evaluation_keys_pb2,
    inference_pb2,
    models_pb2,
)
from blindfit.wire_types import (
    Enrolled,
    ErrorDetail,
    KeyState,
    KeyStatus,
    ModelSummary,
    PredictCall,
    PredictReply,
)

_STATE_PREFIX = "KEY_STATE_"


def key_status_from(message: evaluation_keys_pb2.KeyStatus) -> KeyStatus:
    """A key's status as the server told it."""
    try:
        name = evaluation_keys_pb2.KeyState.Name(message.state).removeprefix(_STATE_PREFIX)
    except ValueError as error:
        raise ResponseMismatchError("the server names an unknown state of a key") from error
    return KeyStatus(
        message.key_id, message.params_id, cast(KeyState, name), message.size, message.received
    )


def key_status_to(status: KeyStatus) -> evaluation_keys_pb2.KeyStatus:
    """A key's status for the wire."""
    return evaluation_keys_pb2.KeyStatus(
        key_id=status.key_id,
        params_id=status.params_id,
        state=cast(
            evaluation_keys_pb2.KeyState,
            evaluation_keys_pb2.KeyState.Value(_STATE_PREFIX + status.state),
        ),
        size=status.size,
        received=status.received,
    )


def model_summary_from(message: models_pb2.ModelVersion) -> ModelSummary:
    """A line of the list of models, from the wire."""
    return ModelSummary(
        message.model,
        message.version,
        message.current,
        message.estimator,
        message.params_id,
        message.created,
    )


def model_summary_to(summary: ModelSummary) -> models_pb2.ModelVersion:
    """A line of the list of models, for the wire."""
    return models_pb2.ModelVersion(
        model=summary.model,
        version=summary.version,
        current=summary.current,
        estimator=summary.estimator,
        params_id=summary.params_id,
        created=summary.created,
    )


def predict_call_from(message: inference_pb2.PredictRequest) -> PredictCall:
    """A request to run a circuit, from the wire."""
    return PredictCall(
        message.request_id,
        message.model,
        message.version,
        message.key_id,
        message.ciphertext,
        message.prove,
    )


def predict_call_to(call: PredictCall) -> inference_pb2.PredictRequest:
    """A request to run a circuit, for the wire."""
    return inference_pb2.PredictRequest(
        request_id=call.request_id,
        model=call.model,
        version=call.version,
        key_id=call.key_id,
        ciphertext=call.ciphertext,
        prove=call.prove,
    )


def predict_reply_from(message: inference_pb2.PredictResponse) -> PredictReply:
    """A result from the wire; an error in its place has to be looked for first."""
    return PredictReply(
        message.request_id,
        message.model,
        message.version,
        message.key_id,
        message.ciphertext,
        message.run_seconds,
    )


def predict_reply_to(reply: PredictReply) -> inference_pb2.PredictResponse:
    """A result for the wire."""
    return inference_pb2.PredictResponse(
        request_id=reply.request_id,
        model=reply.model,
        version=reply.version,
        key_id=reply.key_id,
        ciphertext=reply.ciphertext,
        run_seconds=reply.run_seconds,
    )


def failed_reply_to(call: PredictCall, error: BlindfitError) -> inference_pb2.PredictResponse:
    """On a stream, the error that stands in place of one row's result."""
    return inference_pb2.PredictResponse(
        request_id=call.request_id,
        model=call.model,
        version=call.version,
        key_id=call.key_id,
        error=error_detail_to(error),
    )


def enrolled_from(message: enrollment_pb2.EnrollResponse) -> Enrolled:
    """A new certificate, from the wire."""
    return Enrolled(message.tenant, message.certificate_pem)


def enrolled_to(enrolled: Enrolled) -> enrollment_pb2.EnrollResponse:
    """A new certificate, for the wire."""
    return enrollment_pb2.EnrollResponse(
        tenant=enrolled.tenant, certificate_pem=enrolled.certificate_pem
    )


def error_detail_to(error: BlindfitError) -> common_pb2.ErrorDetail:
    """An error for the wire: its stable reason, and what is for people."""
    details = error.details | ({"action": error.action} if error.action else {})
    return common_pb2.ErrorDetail(
        reason=error.reason, message=str(error), hint=error.hint, details=details
    )


def error_detail_from(message: common_pb2.ErrorDetail) -> ErrorDetail:
    """Why a peer says that a call failed."""
    return ErrorDetail(message.reason, message.message, message.hint, dict(message.details))


def error_detail_from_bytes(content: bytes) -> ErrorDetail | None:
    """The same from trailing metadata; None when it cannot be read."""
    try:
        return error_detail_from(common_pb2.ErrorDetail.FromString(content))
    except DecodeError:
        return None
