"""The one mapping between errors and gRPC status, in both directions."""

from __future__ import annotations

from collections.abc import Iterable
from typing import cast

import grpc

from blindfit import errors
from blindfit.errors import BlindfitError
from blindfit.wire import error_detail_from_bytes, error_detail_to
from blindfit.wire_types import ErrorDetail

DETAIL_KEY = "blindfit-error-bin"
_MAX_TEXT = 2_000  # characters of a peer's message that are shown

_STATUS: list[tuple[type[BlindfitError], grpc.StatusCode]] = [
    # The first match counts: subclasses stand before their parents.
    (errors.InputError, grpc.StatusCode.INVALID_ARGUMENT),
    (errors.NotFoundError, grpc.StatusCode.NOT_FOUND),
    (errors.AccessError, grpc.StatusCode.PERMISSION_DENIED),
    (errors.KeyStateError, grpc.StatusCode.FAILED_PRECONDITION),
    (errors.LimitError, grpc.StatusCode.RESOURCE_EXHAUSTED),
    (errors.UnavailableError, grpc.StatusCode.UNAVAILABLE),
    (errors.IntegrityError, grpc.StatusCode.DATA_LOSS),
    (BlindfitError, grpc.StatusCode.INTERNAL),
]


def status_of(error: BlindfitError) -> grpc.StatusCode:
    """The gRPC status that an error travels as."""
    return next(code for kind, code in _STATUS if isinstance(error, kind))


def trailing_metadata(error: BlindfitError) -> tuple[tuple[str, bytes], ...]:
    """The typed detail that accompanies the status."""
    return ((DETAIL_KEY, error_detail_to(error).SerializeToString()),)


def error_from_detail(detail: ErrorDetail) -> BlindfitError:
    """The error that a peer reported; an unknown reason becomes a plain `BlindfitError`.

    Only the class is the peer's choice, never an exit code or a status of its own.
    """
    kind = _BY_REASON.get(detail.reason, BlindfitError)
    # A hint is shown as our own advice, so it is ours unless the class has none.
    hint = kind.default_hint or (f"the server says: {detail.hint}" if detail.hint else "")
    return kind(detail.message[:_MAX_TEXT], hint=hint[:_MAX_TEXT], details=detail.details)


def error_from_rpc(error: grpc.RpcError) -> BlindfitError:
    """The error behind a failed call: the server's own if it sent one, else by status."""
    metadata = cast(Iterable[tuple[str, bytes]], error.trailing_metadata() or ())
    for key, value in metadata:
        if key == DETAIL_KEY:
            detail = error_detail_from_bytes(value)
            if detail is not None:
                return error_from_detail(detail)
    code, text = error.code(), (error.details() or "")[:_MAX_TEXT]
    if code == grpc.StatusCode.UNAVAILABLE:
        cause = text.rsplit(": ", 1)[-1]  # gRPC names every layer before it
        return errors.UnavailableError(f"the server cannot be reached ({cause})")
    if code == grpc.StatusCode.DEADLINE_EXCEEDED:
        return errors.UnavailableError("the server did not answer in time")
    if code == grpc.StatusCode.RESOURCE_EXHAUSTED:
        return errors.LimitError(f"the server refused: {text}")
    if code in (grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.PERMISSION_DENIED):
        return errors.AccessError(f"the server refused: {text}")
    return BlindfitError(f"the call failed ({code.name if code else 'unknown'}): {text}")


def _all_errors(root: type[BlindfitError]) -> list[type[BlindfitError]]:
    return [root, *(kind for child in root.__subclasses__() for kind in _all_errors(child))]


_BY_REASON = {kind.reason: kind for kind in reversed(_all_errors(BlindfitError))}
