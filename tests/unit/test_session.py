"""What a session is opened with: a connection that follows the identity, agreed keys."""

from __future__ import annotations

import io
import sys
from inspect import signature
from pathlib import Path

import pytest
from fixtures_keys import CHEAP, make_keyset
from test_keys_identity import enroll

from blindfit.errors import AccessError, InputError, NotEnrolledError
from client_app.commands.predict import _agreement, _passphrase, predict
from client_app.connection import Connection
from client_app.pipeline import STALL_SECONDS, Pipeline
from keys.recovery import RecoveryKey
from keys.stanzas import Passphrase
from keys.store import KeyStore
from server_app.config import Limits

MISSING = "version 4 of digits needs other keys than there are"


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def answer(monkeypatch):
    """Sits at the terminal and types this."""

    def sit(text: str) -> None:
        monkeypatch.setattr(sys, "stdin", Terminal(text))

    return sit


# -- the connection ------------------------------------------------------------------------------


def test_a_connection_is_made_anew_only_for_another_certificate(tmp_path):
    enroll(tmp_path)
    connection = Connection(tmp_path)
    first = connection.channel
    assert connection.publisher_key == "0f" * 32
    assert not connection.renew()
    assert connection.channel is first
    enroll(tmp_path)
    assert connection.renew()
    assert connection.channel is not first
    assert not connection.renew()
    connection.close()


def test_without_an_identity_there_is_no_connection(tmp_path):
    with pytest.raises(NotEnrolledError):
        Connection(tmp_path)


def test_rows_are_not_sent_again_while_a_server_may_still_run_them():
    # The command leaves the number to the session: its --help would import numpy to name it.
    assert signature(predict).parameters["stall_timeout"].default is None
    assert signature(Pipeline.__init__).parameters["stall"].default == STALL_SECONDS
    assert Limits().run_timeout < STALL_SECONDS


# -- asking before keys are created --------------------------------------------------------------


def test_a_person_is_asked_before_keys_are_created(tmp_path, answer, capsys):
    agree = _agreement(tmp_path, create_keys=False, ask=True)
    answer("n\n")
    assert not agree(MISSING)
    assert f"{MISSING}: create them now?" in capsys.readouterr().err
    answer("y\n")
    assert agree(MISSING)


def test_a_script_is_not_asked(tmp_path, answer, monkeypatch, capsys):
    answer("y\n")
    assert not _agreement(tmp_path, create_keys=False, ask=False)(MISSING)
    monkeypatch.setattr(sys, "stdin", io.StringIO("y\n"))  # no terminal
    assert not _agreement(tmp_path, create_keys=False, ask=True)(MISSING)
    assert capsys.readouterr().err == ""
    assert _agreement(tmp_path, create_keys=True, ask=False)(MISSING)


def test_what_could_be_lost_is_said_before_keys_are_created(tmp_path, capsys):
    agree = _agreement(tmp_path, create_keys=True, ask=False)
    agree(MISSING)
    assert "ALL KEYS ARE LOST" in capsys.readouterr().err
    store = KeyStore(tmp_path / "keys").initialize(Passphrase(b"correct horse", CHEAP))
    store.create(make_keyset(), model="digits")
    store.add_recipient("safe", RecoveryKey.generate().recipient)
    agree(MISSING)
    told = capsys.readouterr().err
    assert "safe" in told
    assert "ALL KEYS ARE LOST" not in told


def test_a_new_passphrase_is_asked_twice_and_a_known_one_once(tmp_path, monkeypatch):
    entries: list[str] = []
    monkeypatch.setattr(sys, "stdin", Terminal())
    monkeypatch.setattr("getpass.getpass", lambda prompt: entries.append(prompt) or str(entries))
    with pytest.raises(InputError, match="differ"):
        _passphrase(tmp_path, None)()
    assert len(entries) == 2
    KeyStore(tmp_path / "keys").initialize(Passphrase(b"correct horse", CHEAP))
    _passphrase(tmp_path, None)()
    assert len(entries) == 3


def test_a_passphrase_file_is_not_confirmed(tmp_path):
    file = Path(tmp_path / "passphrase")
    file.write_text("correct horse\n")
    file.chmod(0o600)
    assert _passphrase(tmp_path, file)() == b"correct horse"


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o666])
def test_a_passphrase_file_that_others_may_use_is_refused(tmp_path, mode):
    file = Path(tmp_path / "passphrase")
    file.write_text("correct horse\n")
    file.chmod(mode)
    with pytest.raises(AccessError) as refused:
        _passphrase(tmp_path, file)()
    assert f"chmod 600 {file}" in refused.value.hint
