"""Whose store it is, is asked where only a recovery key vouches for it."""

from __future__ import annotations

import io
import sys

import pytest

from blindfit.errors import InputError, IntegrityError
from keys.commands import create
from keys.commands.confirming import require_fingerprint
from keys.store import KeyStore

FOUND = ":".join(["0a1b"] * 8)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_on_a_terminal_the_fingerprint_is_shown_and_a_yes_is_needed(monkeypatch, capsys):
    monkeypatch.setattr(sys, "stdin", Terminal("y\n"))
    require_fingerprint(FOUND, None)
    assert FOUND in capsys.readouterr().err


@pytest.mark.parametrize("answer", ["n\n", "\n"])
def test_anything_but_a_yes_is_a_no(monkeypatch, answer):
    monkeypatch.setattr(sys, "stdin", Terminal(answer))
    with pytest.raises(IntegrityError, match="not confirmed"):
        require_fingerprint(FOUND, None)


def test_without_a_terminal_the_noted_one_must_be_given(monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.StringIO("y\n"))
    with pytest.raises(InputError) as refused:
        require_fingerprint(FOUND, None)
    assert "--fingerprint" in refused.value.hint and FOUND not in refused.value.hint


@pytest.mark.parametrize("noted", [FOUND[:-1] + "c", FOUND[:-5], ""])
def test_another_fingerprint_is_refused(noted):
    require_fingerprint(FOUND, f" {FOUND.upper()} ")
    with pytest.raises(IntegrityError, match="and not"):
        require_fingerprint(FOUND, noted)


def test_the_first_creation_tells_the_fingerprint_to_note(tmp_path, capsys):
    file = tmp_path / "passphrase"
    file.write_bytes(b"correct horse\n")
    file.chmod(0o600)
    create._open(tmp_path, file, keyring=False)
    fingerprint = KeyStore(tmp_path / "keys").fingerprint()
    assert fingerprint in capsys.readouterr().err
    create._open(tmp_path, file, keyring=False)
    assert fingerprint not in capsys.readouterr().err
