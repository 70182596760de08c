"""The key of a session: followed through rotations, and mended where that is safe."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from fixtures_keys import CHEAP, PARAMS, MemoryServer, make_keyset

from blindfit.errors import (
    AccessError,
    IntegrityError,
    KeyMismatchError,
    KeyNotUploadedError,
    KeyRevokedError,
    KeyStagedError,
    KeyStateError,
)
from client_app.key_care import KeyCare, current_key
from keys.in_use import wait_until_unused
from keys.stanzas import Passphrase
from keys.states import KeyState
from keys.store import KeyStore

OTHER_PARAMS = "ef" * 32
LOCK = Passphrase(b"correct horse", CHEAP)


def manifest(model: str = "digits", version: int = 1, params_id: str = PARAMS) -> SimpleNamespace:
    circuit = SimpleNamespace(params_id=params_id)
    return SimpleNamespace(model=model, version=version, circuit=circuit)


@pytest.fixture
def store(tmp_path):
    return KeyStore(tmp_path / "keys").initialize(LOCK)


@pytest.fixture
def server():
    return MemoryServer(circuit=None)


def add_key(store, server, model="digits", params_id=PARAMS) -> str:
    """A key that is ACTIVE here and on the server, as after `create` or `rotate`."""
    keyset = make_keyset(evaluation_keys=b"evaluation", params_id=params_id)
    store.create(keyset, model=model)
    old = store.active(params_id)
    server.upload_key(keyset.key_id, keyset.params_id, keyset.salt, keyset.evaluation_keys)
    server.activate_key(keyset.key_id, old.key_id if old else None)
    store.promote(model, keyset.key_id)
    return keyset.key_id


class Connection:
    """A connection whose certificate is the home's newest one after ``newer`` renewals."""

    def __init__(self, channel, newer: int = 0):
        self.channel = channel
        self.newer = newer

    def renew(self) -> bool:
        self.newer -= 1
        return self.newer >= 0


def care_of(store, server, newer: int = 0) -> KeyCare:
    return KeyCare(store, Connection(server, newer), manifest())


def is_unused(store, key_id: str) -> bool:
    return wait_until_unused(store.root, key_id, timeout=0, report=lambda seconds: None)


# -- which key -----------------------------------------------------------------------------------


def test_a_model_without_keys_says_how_to_create_some(store):
    with pytest.raises(KeyStateError, match="no keys for digits") as missing:
        current_key(store, manifest())
    assert missing.value.hint == "run `blindfit-keys create --model digits`"


def test_a_new_version_with_the_same_parameters_needs_no_new_keys(store, server):
    key_id = add_key(store, server)
    assert current_key(store, manifest(version=2)).key_id == key_id


def test_a_version_with_other_parameters_needs_other_keys(store, server):
    add_key(store, server)
    with pytest.raises(KeyMismatchError, match="version 4 of digits needs other keys") as missing:
        current_key(store, manifest(version=4, params_id=OTHER_PARAMS))
    assert missing.value.hint == "run `blindfit-keys create --model digits`"


def test_each_version_uses_the_keys_of_its_parameters(store, server):
    first = add_key(store, server)
    second = add_key(store, server, params_id=OTHER_PARAMS)
    assert current_key(store, manifest(version=1)).key_id == first
    assert current_key(store, manifest(version=2, params_id=OTHER_PARAMS)).key_id == second


# -- following rotations -------------------------------------------------------------------------


def test_a_rotation_is_noticed_and_the_old_key_let_go(store, server):
    old = add_key(store, server)
    care = care_of(store, server)
    with care.open() as first:
        assert first.key_id == old
    assert care.newer(old) is None
    assert not is_unused(store, old)
    assert not care.outdated(old)
    new = add_key(store, server)
    assert care.outdated(old)
    with care.newer(old) as keyset:
        assert keyset.key_id == new
        assert not care.outdated(new)
    assert is_unused(store, old)
    assert not is_unused(store, new)
    care.release()
    assert is_unused(store, new)


def test_other_models_changes_are_no_reason_to_change_the_key(store, server):
    key_id = add_key(store, server)
    care = care_of(store, server)
    care.newer(key_id)
    add_key(store, server, model="other", params_id=OTHER_PARAMS)
    assert not care.outdated(key_id)
    assert care.newer(key_id) is None


def test_an_unchanged_store_is_not_read_again(store, server, monkeypatch):
    key_id = add_key(store, server)
    care = care_of(store, server)
    care.newer(key_id)
    monkeypatch.setattr(store, "primary", None)  # reading would fail
    assert not any(care.outdated(key_id) for _ in range(1000))


def test_a_key_that_is_rotated_while_it_is_taken_is_not_used(store, server, monkeypatch):
    """A rotation may find the old key unused just before the session holds it."""
    old = add_key(store, server)
    care = care_of(store, server)
    assert not care.outdated(old)
    import client_app.key_care as subject

    held: list[str] = []
    using = subject.using

    def rotate_then_hold(root, key_id):
        if not held:
            add_key(store, server)
        held.append(key_id)
        return using(root, key_id)

    monkeypatch.setattr(subject, "using", rotate_then_hold)
    with care.newer(old) as keyset:
        assert keyset.key_id == store.primary("digits").key_id != old
    assert held == [old, keyset.key_id]
    assert is_unused(store, old)


def test_a_key_that_was_revoked_here_is_used_no_more(store, server):
    key_id = add_key(store, server)
    care = care_of(store, server)
    care.newer(key_id)
    store.transition(key_id, KeyState.COMPROMISED)
    with pytest.raises(KeyStateError, match="of digits is COMPROMISED"):
        care.outdated(key_id)


def test_a_manifest_that_somebody_changed_is_refused(store, server):
    key_id = add_key(store, server)
    care = care_of(store, server)
    care.newer(key_id)
    path = store.root / "manifest.json"
    path.write_bytes(path.read_bytes().replace(key_id.encode(), ("0" * 64).encode()))
    with pytest.raises(IntegrityError):
        care.outdated(key_id)


def test_a_changed_passphrase_is_told(store, server):
    old = add_key(store, server)
    care = care_of(store, server)
    other = KeyStore(store.root).unlock(LOCK)
    other.change_lock(Passphrase(b"battery staple", CHEAP))
    add_key(other, server)
    with pytest.raises(KeyStateError, match="passphrase of the key store was changed"):
        care.newer(old)


# -- mending -------------------------------------------------------------------------------------


def test_a_key_that_the_server_lost_is_uploaded_and_activated_again(store, server):
    key_id = add_key(store, server)
    server.keys.clear()
    server.calls.clear()
    care = care_of(store, server)
    care.mend(key_id, KeyNotUploadedError("unknown"))
    assert server.key_status(key_id).state == "ACTIVE"
    assert server.calls == ["upload", "activate"]
    assert care.newer(key_id) is None


def test_a_mending_that_was_interrupted_before_activation_is_finished(store, server):
    key_id = add_key(store, server)
    server.keys.clear()
    server.upload_key(key_id, PARAMS, b"", b"evaluation")
    care_of(store, server).mend(key_id, KeyStagedError("staged"))
    assert server.key_status(key_id).state == "ACTIVE"


def test_the_key_of_another_home_is_not_replaced(store, server):
    key_id = add_key(store, server)
    server.keys.clear()
    server.upload_key("77" * 32, PARAMS, b"", b"")
    server.activate_key("77" * 32, None)
    server.calls.clear()
    with pytest.raises(KeyStateError, match=r"another active key .* 777777777777") as refused:
        care_of(store, server).mend(key_id, KeyNotUploadedError("unknown"))
    assert "restore its backup" in refused.value.hint
    assert server.calls == []


def test_a_key_of_other_parameters_is_in_nobodys_way(store, server):
    key_id = add_key(store, server)
    server.keys.clear()
    server.upload_key("77" * 32, OTHER_PARAMS, b"", b"")
    server.activate_key("77" * 32, None)
    care_of(store, server).mend(key_id, KeyNotUploadedError("unknown"))
    assert server.key_status(key_id).state == "ACTIVE"


@pytest.mark.parametrize("error", [KeyRevokedError("x"), KeyNotUploadedError("x")])
def test_a_newer_key_of_the_store_is_taken_whatever_the_refusal(store, server, error):
    old = add_key(store, server)
    care = care_of(store, server)
    care.newer(old)
    new = add_key(store, server)
    server.calls.clear()
    care.mend(old, error)
    assert server.calls == []
    assert care.newer(old).key_id == new


@pytest.mark.parametrize(
    ("error", "advice"),
    [
        (KeyRevokedError("x"), "blindfit-keys rotate --model digits"),
        (KeyMismatchError("x"), "blindfit-keys create --model digits"),
        (AccessError("x"), "blindfit-client enroll"),
    ],
)
def test_what_needs_a_person_is_told_to_the_person(store, server, error, advice):
    key_id = add_key(store, server)
    server.calls.clear()
    with pytest.raises(type(error)) as told:
        care_of(store, server).mend(key_id, error)
    assert advice in told.value.hint
    assert server.calls == []


def test_a_renewed_certificate_is_used(store, server):
    key_id = add_key(store, server)
    care = care_of(store, server, newer=1)
    care.mend(key_id, AccessError("the certificate was revoked"))
    with pytest.raises(AccessError) as told:
        care.mend(key_id, AccessError("the certificate was revoked"))
    assert "blindfit-client enroll" in told.value.hint


def test_a_key_that_the_server_refuses_for_good_is_not_forced_on_it(store, server):
    """A tombstone stays: the server answers the upload with its state."""
    key_id = add_key(store, server)
    server.revoke_key(key_id)
    with pytest.raises(KeyNotUploadedError) as told:
        care_of(store, server).mend(key_id, KeyNotUploadedError("unknown"))
    assert "rotate --model digits" in told.value.hint
    assert server.key_status(key_id).state == "REVOKED"
