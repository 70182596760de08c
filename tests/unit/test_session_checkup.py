"""What `doctor` says about keys, without a passphrase and without a server."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from fixtures_keys import CHEAP, make_keyset

from client_app import checkup
from client_app.checkup import run_checks
from keys.recovery import RecoveryKey
from keys.stanzas import Passphrase
from keys.store import KeyStore


def checks(home):
    return {check.name: check for check in run_checks(home)}


@pytest.fixture
def store(tmp_path):
    store = KeyStore(tmp_path / "keys").initialize(Passphrase(b"correct horse", CHEAP))
    keyset = make_keyset()
    store.create(keyset, model="digits")
    store.promote("digits", keyset.key_id)
    return store


def test_a_home_without_keys_is_told_how_to_get_some(tmp_path):
    found = checks(tmp_path)
    assert found["keys"].found == "0 active of 0"
    assert "blindfit-keys create" in found["keys"].hint
    assert found["key store"].found == "none yet"
    assert found["primary keys"].found == "none"
    assert found["identity"].ok is False


def test_keys_that_nobody_can_recover_are_a_warning(tmp_path, store):
    found = checks(tmp_path)["key store"]
    assert found.ok
    assert found.found.startswith("locked by a passphrase; warning: nobody can recover")
    assert "recipients add" in found.hint
    store.add_recipient("safe", RecoveryKey.generate().recipient)
    found = checks(tmp_path)["key store"]
    assert found.found == "locked by a passphrase; recovered by safe"
    assert found.hint == ""


def test_old_primary_keys_are_to_be_rotated(tmp_path, store, monkeypatch):
    found = checks(tmp_path)["primary keys"]
    assert found.found == "digits 0 days old"
    assert found.hint == ""

    class Later(datetime):
        @classmethod
        def now(cls, _timezone=None):
            return datetime.now(UTC) + timedelta(days=91)

    monkeypatch.setattr(checkup, "datetime", Later)
    found = checks(tmp_path)["primary keys"]
    assert found.found == "digits 91 days old"
    assert found.hint == "run `blindfit-keys rotate --all --if-older-than 90d`"


def test_a_tampered_store_is_unhealthy_and_ends_nothing(tmp_path, store):
    path = store.root / "manifest.json"
    path.write_bytes(path.read_bytes().replace(b"ACTIVE", b"ACTIVF"))
    found = checks(tmp_path)
    assert not found["keys"].ok
    assert not found["primary keys"].ok
    assert "damaged" in found["keys"].found
