"""What an error tells a program to do, and that it survives the wire."""

from __future__ import annotations

import grpc
import pytest

from blindfit import errors
from blindfit.status import error_from_detail, status_of
from blindfit.wire import error_detail_from, error_detail_to
from blindfit.wire_types import ErrorDetail

ACTIONS = [
    (errors.KeyNotUploadedError, "upload", grpc.StatusCode.FAILED_PRECONDITION),
    (errors.KeyStagedError, "activate", grpc.StatusCode.FAILED_PRECONDITION),
    (errors.KeyRevokedError, "rotate", grpc.StatusCode.FAILED_PRECONDITION),
    (errors.KeyExpiredError, "rotate", grpc.StatusCode.FAILED_PRECONDITION),
    (errors.KeyMismatchError, "create", grpc.StatusCode.FAILED_PRECONDITION),
    (errors.AccessError, "enroll", grpc.StatusCode.PERMISSION_DENIED),
    (errors.NotEnrolledError, "enroll", grpc.StatusCode.PERMISSION_DENIED),
    (errors.PassphraseError, "", grpc.StatusCode.PERMISSION_DENIED),
    (errors.InvitationError, "", grpc.StatusCode.PERMISSION_DENIED),
    (errors.KeyStateError, "", grpc.StatusCode.FAILED_PRECONDITION),
    (errors.LimitError, "", grpc.StatusCode.RESOURCE_EXHAUSTED),
]


@pytest.mark.parametrize(("kind", "action", "status"), ACTIONS)
def test_an_error_arrives_as_what_it_was_with_its_action(kind, action, status):
    detail = error_detail_from(error_detail_to(kind("it is so", details={"key_id": "ab"})))
    assert detail.details.get("action", "") == action
    assert detail.details["key_id"] == "ab"
    arrived = error_from_detail(detail)
    assert type(arrived) is kind
    assert arrived.action == action
    assert status_of(arrived) == status


def test_a_peer_cannot_choose_another_action_than_its_errors_own():
    detail = ErrorDetail("LIMIT_EXCEEDED", "too much", "", {"action": "upload"})
    assert error_from_detail(detail).action == ""


def test_every_action_is_one_that_clients_know():
    def below(kind):
        return [kind, *(each for child in kind.__subclasses__() for each in below(child))]

    known = {"", "upload", "activate", "rotate", "create", "enroll"}
    assert {kind.action for kind in below(errors.BlindfitError)} <= known
