"""A process that dies at any change of a file while it makes, uses and destroys keys."""

from __future__ import annotations

import shutil
from datetime import UTC, datetime, timedelta

import pytest
from fixtures_crash import kill_points
from fixtures_keys import make_keyset
from fixtures_store import add, new_store, primary, reopened

from blindfit.errors import AccessError
from keys.recovery import RecoveryKey
from keys.states import KeyState
from keys.store import KeyStore
from keys.verification import check_audit, check_files, check_keysets

EVERY = [pytest.param(1, marks=pytest.mark.slow, id="all"), pytest.param(9, id="some")]


@pytest.mark.parametrize("every", EVERY)
def test_a_crash_on_first_use_leaves_no_store_or_one_that_opens(root, every):
    def prepare():
        shutil.rmtree(root, ignore_errors=True)
        root.mkdir(mode=0o700)

    tried = 0
    for _ in kill_points(root, prepare, lambda: new_store(root), every):
        tried += 1
        store = reopened(root) if KeyStore(root).exists else new_store(root)
        assert store.records() == [] and store.history()[0]["event"] == "store"
        primary(store)
    assert tried >= 12 // every


@pytest.mark.parametrize("every", EVERY)
def test_a_crash_in_the_life_of_a_key_loses_no_other_and_leaves_each_in_one_state(
    root, tmp_path, every
):
    old = primary(new_store(root))
    root.rename(tmp_path / "scene")
    new = make_keyset()

    def prepare():
        shutil.rmtree(root, ignore_errors=True)
        shutil.copytree(tmp_path / "scene", root)

    def work():
        store = reopened(root)
        store.create(new, model="digits")
        store.promote("digits", new.key_id)
        store.schedule_destruction(old.key_id, datetime.now(UTC) + timedelta(days=1))
        store.cancel_destruction(old.key_id)
        store.destroy(old.key_id)

    tried = 0
    for _ in kill_points(root, prepare, work, every):
        tried += 1
        store = reopened(root)
        states = {record.key_id: record.state for record in store.records()}
        assert store.active(old.params_id).key_id == store.primary("digits").key_id
        assert (states[old.key_id] is KeyState.ACTIVE) == (states.get(new.key_id) != "ACTIVE")
        for keyset in (old, new):
            if states.get(keyset.key_id, KeyState.DESTROYED) is not KeyState.DESTROYED:
                assert store.open(keyset.key_id).same_secret(keyset)
        assert check_keysets(store) == check_files(store) == []
        primary(store)  # whatever was left does not hinder what comes
        assert check_audit(store) == []
    assert tried >= 40 // every


@pytest.mark.parametrize("every", [pytest.param(1, marks=pytest.mark.slow, id="all"), 5])
def test_a_crash_while_somebody_gets_access_gives_all_of_it_or_nothing(root, tmp_path, every):
    bob = RecoveryKey.generate()
    store = new_store(root)
    keysets = [primary(store), add(store)]
    root.rename(tmp_path / "scene")

    def prepare():
        shutil.rmtree(root, ignore_errors=True)
        shutil.copytree(tmp_path / "scene", root)

    def work():
        reopened(root).add_recipient("bob", bob.recipient)

    outcomes = set()
    for _ in kill_points(root, prepare, work, every):
        try:
            opened = KeyStore(root).unlock(bob)
        except AccessError:  # no stanza is of this kind
            outcomes.add("nothing")
            continue
        assert all(opened.open(keyset.key_id).same_secret(keyset) for keyset in keysets)
        outcomes.add("all")
    assert outcomes == {"nothing", "all"}
