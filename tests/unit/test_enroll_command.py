"""`blindfit-client enroll`, with the server's answer in memory."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest
from test_keys_identity import issue
from typer.testing import CliRunner

from blindfit import channel
from blindfit.errors import AccessError, KeyStateError
from blindfit.invitation import Invitation
from blindfit.wire_types import Enrolled
from client_app.cli import app
from keys.identity import load_identity
from keys.identity_lock import changing_identity

INVITED = Invitation(
    tenant="acme",
    token="t" * 20,
    address="host:7000",
    enroll_address="host:7001",
    federation_address="host:8000",
    ca_pem="CA",
    publisher_key="0f" * 32,
    expires=datetime.now(UTC).isoformat(),
)


@pytest.fixture
def spent(monkeypatch):
    """The tokens that the server was given."""
    tokens = []

    def answer(address, ca_pem, token, csr_pem, participant_key=""):
        tokens.append(token)
        return Enrolled("acme", issue(csr_pem))

    monkeypatch.setattr(channel, "enroll", answer)
    return tokens


def enroll(home):
    file = home / "invitation"
    file.write_bytes(INVITED.to_bytes())
    result = CliRunner().invoke(app, ["enroll", str(file), "--home", str(home), "--json"])
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    return json.loads(result.stdout)


def test_an_invitation_becomes_an_identity(tmp_path, spent):
    assert enroll(tmp_path)["tenant"] == "acme"
    identity = load_identity(tmp_path)
    assert (identity.tenant, identity.federation) == ("acme", "host:8000")
    assert spent == [INVITED.token]


def test_what_a_dead_process_left_half_written_is_swept(tmp_path, spent):
    enroll(tmp_path)
    leftover = tmp_path / "identity" / f".credentials.pem.{'0' * 16}.tmp"
    leftover.write_bytes(b"-----BEGIN PRIVATE KEY-----")
    enroll(tmp_path)
    assert not leftover.exists()


def test_the_invitation_is_not_spent_while_another_process_changes_the_identity(tmp_path, spent):
    with changing_identity(tmp_path), pytest.raises(KeyStateError, match="another process"):
        enroll(tmp_path)
    assert spent == []


def test_the_invitation_is_not_spent_for_a_folder_that_others_may_use(tmp_path, spent):
    (tmp_path / "identity").mkdir(mode=0o755)
    with pytest.raises(AccessError, match="others"):
        enroll(tmp_path)
    assert spent == []
