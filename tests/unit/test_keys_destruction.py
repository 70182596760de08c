"""Destroying keysets: at once, on a day, and taken back."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from fixtures_store import add, primary, reopened

from blindfit.errors import InputError, KeyStateError
from keys.states import KeyState


def test_destroying_leaves_a_tombstone_and_no_file(store, root):
    old = primary(store)
    primary(store)
    store.destroy(old.key_id)
    assert store.record(old.key_id).state is KeyState.DESTROYED
    assert not (root / "keysets" / f"{old.key_id}.keyset").exists()
    with pytest.raises(KeyStateError, match="destroyed"):
        store.open(old.key_id)


def test_destroying_overwrites_the_bytes_before(store, root):
    keyset = add(store)
    path = root / "keysets" / f"{keyset.key_id}.keyset"
    with path.open("rb") as kept:
        store.destroy(keyset.key_id)
        assert set(kept.read()) == {0}


def test_an_active_key_is_not_destroyed(store):
    keyset = primary(store)
    with pytest.raises(KeyStateError, match="cannot become DESTROYED"):
        store.destroy(keyset.key_id)
    assert store.open(keyset.key_id).same_secret(keyset)


def test_a_half_finished_destruction_is_finished(store, root):
    keyset = add(store)
    path = root / "keysets" / f"{keyset.key_id}.keyset"
    content = path.read_bytes()
    store.destroy(keyset.key_id)
    path.write_bytes(content)
    path.chmod(0o600)
    reopened(root)
    assert not path.exists()


def test_a_scheduled_key_decrypts_until_it_is_due_and_then_is_destroyed(store, root):
    keyset = add(store)
    later = datetime.now(UTC) + timedelta(days=30)
    record = store.schedule_destruction(keyset.key_id, later)
    assert record.state is KeyState.DESTROY_SCHEDULED
    assert record.destroy_at == later.strftime("%Y-%m-%dT%H:%M:%SZ")
    assert reopened(root).open(keyset.key_id).same_secret(keyset)
    store.schedule_destruction(keyset.key_id, datetime.now(UTC) - timedelta(seconds=1))
    again = reopened(root)
    assert again.record(keyset.key_id).state is KeyState.DESTROYED
    assert again.record(keyset.key_id).destroy_at is None
    assert not (root / "keysets" / f"{keyset.key_id}.keyset").exists()
    assert [e["to"] for e in again.history() if e["event"] == "key"] == [
        "PRE_ACTIVE",
        "DESTROY_SCHEDULED",
        "DESTROY_SCHEDULED",
        "DESTROYED",
    ]


@pytest.mark.parametrize("state", [KeyState.DEACTIVATED, KeyState.COMPROMISED])
def test_a_cancelled_destruction_leaves_the_state_of_before(store, state):
    keyset = add(store)
    store.transition(keyset.key_id, state)
    store.schedule_destruction(keyset.key_id, datetime.now(UTC) + timedelta(days=1))
    record = store.cancel_destruction(keyset.key_id)
    assert (record.state, record.destroy_at, record.scheduled_from) == (state, None, None)
    with pytest.raises(KeyStateError, match="no destruction is scheduled"):
        store.cancel_destruction(keyset.key_id)


def test_a_destruction_needs_a_time_with_a_zone(store):
    keyset = add(store)
    with pytest.raises(InputError, match="time zone"):
        store.schedule_destruction(keyset.key_id, datetime.now())
    with pytest.raises(KeyStateError, match="needs a time"):
        store.transition(keyset.key_id, KeyState.DESTROY_SCHEDULED)
