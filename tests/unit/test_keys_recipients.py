"""Who can open the store: its lock, recovery recipients, and crashes while that changes."""

from __future__ import annotations

import shutil

import pytest
from fixtures_crash import kill_points
from fixtures_keys import PASSPHRASE, make_keyset
from fixtures_store import add, lock, primary, reopened

from blindfit.errors import (
    AccessError,
    InputError,
    KeyStateError,
    LimitError,
    NotFoundError,
    PassphraseError,
    SealError,
)
from keys.recovery import RecoveryKey
from keys.resealing import MAX_RECIPIENTS
from keys.sealed_files import SealedFiles
from keys.states import KeyState
from keys.store import KeyStore
from keys.store_key import open_seed

BOB, CAROL = RecoveryKey.generate(), RecoveryKey.generate()
NEW = b"the new passphrase"


def test_a_recovery_key_opens_keysets_of_before_and_after(store, root):
    before = primary(store)
    store.add_recipient("bob", BOB.recipient)
    after = add(store)
    recovered = KeyStore(root).unlock(BOB)
    for keyset in (before, after):
        assert recovered.open(keyset.key_id).same_secret(keyset)
        assert reopened(root).open(keyset.key_id).same_secret(keyset)
    assert store.recipients() == {"bob": str(BOB.recipient)}
    with pytest.raises(PassphraseError):
        KeyStore(root).unlock(CAROL)


def test_one_recovery_key_is_one_recipient(store):
    store.add_recipient("bob", BOB.recipient)
    with pytest.raises(InputError, match="recipient 'bob' already"):
        store.add_recipient("safe", BOB.recipient)
    assert set(store.recipients()) == {"bob"}


def test_losing_the_passphrase_with_a_recovery_recipient_loses_nothing(store, root):
    old, new = primary(store), primary(store)
    store.add_recipient("bob", BOB.recipient)
    records = store.records()
    KeyStore(root).unlock(BOB).change_lock(lock(NEW))
    again = reopened(root, NEW)
    assert again.records() == records
    for keyset in (old, new):
        assert again.open(keyset.key_id).same_secret(keyset)
    again.create(make_keyset(), model="digits")
    with pytest.raises(PassphraseError):
        reopened(root)


def test_a_removed_recipient_opens_nothing_but_copies_of_before(store, root, tmp_path):
    keyset = primary(store)
    store.add_recipient("bob", BOB.recipient)
    store.add_recipient("carol", CAROL.recipient)
    shutil.copytree(root, tmp_path / "copy")
    store.remove_recipient("bob")
    with pytest.raises(PassphraseError):
        KeyStore(root).unlock(BOB)
    with pytest.raises(PassphraseError):
        SealedFiles(root / "keysets").open(keyset.key_id, BOB)
    assert KeyStore(root).unlock(CAROL).open(keyset.key_id).same_secret(keyset)
    copy = KeyStore(tmp_path / "copy").unlock(BOB)
    assert copy.open(keyset.key_id).same_secret(keyset)


def test_another_passphrase_leaves_the_payloads_as_they_are(store, root):
    keyset = primary(store, evaluation_keys=b"e" * 200_000)
    path = root / "keysets" / f"{keyset.key_id}.keyset"
    payload = path.read_bytes()[-200_000:]
    store.change_lock(lock(NEW))
    assert path.read_bytes()[-200_000:] == payload
    assert reopened(root, NEW).open(keyset.key_id).same_secret(keyset)
    with pytest.raises(PassphraseError):
        SealedFiles(root / "keysets").open(keyset.key_id, lock())
    told = [(e["event"], e.get("to")) for e in store.history()]
    assert told[-2:] == [("lock", "argon2id"), ("resealed", None)]


def test_a_store_that_was_opened_before_does_not_seal_for_the_old_passphrase(store, root):
    stale = reopened(root)
    store.change_lock(lock(NEW))
    for change in (
        lambda: stale.create(make_keyset(), model="digits"),
        lambda: stale.change_lock(lock(b"a third")),
        lambda: stale.add_recipient("bob", BOB.recipient),
    ):
        with pytest.raises(KeyStateError, match="changed meanwhile"):
            change()
    reopened(root, NEW)
    assert stale.records() == []


def test_a_recovery_key_changes_states_but_seals_nothing(store, root):
    keyset = primary(store)
    store.add_recipient("bob", BOB.recipient)
    recovered = KeyStore(root).unlock(BOB)
    for refused in (
        lambda: recovered.create(make_keyset(), model="digits"),
        lambda: recovered.add_recipient("carol", CAROL.recipient),
        lambda: recovered.remove_recipient("bob"),
    ):
        with pytest.raises(KeyStateError) as caught:
            refused()
        assert "blindfit-keys passphrase --recovery-key" in caught.value.hint
    recovered.transition(keyset.key_id, KeyState.COMPROMISED)
    assert store.record(keyset.key_id).state is KeyState.COMPROMISED


def test_a_keyset_that_does_not_open_stops_a_change_before_it_begins(store, root):
    good, bad = add(store), add(store)
    path = root / "keysets" / f"{bad.key_id}.keyset"
    content = bytearray(path.read_bytes())
    content[40] ^= 1
    path.write_bytes(content)
    for change in (
        lambda: store.change_lock(lock(NEW)),
        lambda: store.add_recipient("bob", BOB.recipient),
    ):
        with pytest.raises(KeyStateError, match=bad.key_id[:12]):
            change()
    assert store.recipients() == {}
    assert reopened(root).open(good.key_id).same_secret(good)


@pytest.mark.parametrize("name", ["", "two words", "a/b", "n" * 65, "line\nbreak"])
def test_names_that_would_confuse_are_refused(store, name):
    with pytest.raises(InputError, match="name"):
        store.add_recipient(name, BOB.recipient)


def test_names_are_unique_and_bounded_in_number(store):
    for number in range(MAX_RECIPIENTS):
        store.add_recipient(f"bob{number}", RecoveryKey.generate().recipient)
    with pytest.raises(LimitError):
        store.add_recipient("bob", BOB.recipient)
    with pytest.raises(KeyStateError, match="already"):
        store.add_recipient("bob0", CAROL.recipient)
    with pytest.raises(NotFoundError, match="carol"):
        store.remove_recipient("carol")
    store.change_lock(lock(NEW))  # the files have room for both locks


def change_lock(store):
    store.change_lock(lock(NEW))


def add_carol(store):
    store.add_recipient("carol", CAROL.recipient)


def remove_bob(store):
    store.remove_recipient("bob")


@pytest.fixture
def scene(store, root, tmp_path):
    """Two keysets and Bob; the store is put back to that by calling it."""
    keysets = [primary(store), add(store)]
    store.add_recipient("bob", BOB.recipient)
    root.rename(tmp_path / "scene")

    def prepare():
        shutil.rmtree(root, ignore_errors=True)
        shutil.copytree(tmp_path / "scene", root)

    return keysets, prepare


ALL_AND_SOME = [pytest.param(1, marks=pytest.mark.slow, id="all"), pytest.param(9, id="some")]


@pytest.mark.parametrize("every", ALL_AND_SOME)
@pytest.mark.parametrize("change", [change_lock, add_carol, remove_bob])
def test_a_crash_at_any_change_of_a_file_leaves_a_store_that_opens_whole(
    scene, root, change, every
):
    keysets, prepare = scene
    tried = 0
    for point in kill_points(root, prepare, lambda: change(reopened(root)), every):
        tried += 1
        opened = _opened_by_either(root)
        for keyset in keysets:
            assert opened.open(keyset.key_id).same_secret(keyset)
        assert {r.key_id for r in opened.records()} == {k.key_id for k in keysets}
        _require_settled(root, opened, keysets[point % 2])
    assert tried >= 40 // every


@pytest.mark.parametrize("every", ALL_AND_SOME)
def test_a_crash_while_a_forgotten_passphrase_is_replaced_leaves_the_recovery_key(
    scene, root, every
):
    keysets, prepare = scene

    def work():
        change_lock(KeyStore(root).unlock(BOB))

    tried = 0
    for point in kill_points(root, prepare, work, every):
        tried += 1
        KeyStore(root).unlock(BOB).change_lock(lock(NEW))
        again = reopened(root, NEW)
        for keyset in keysets:
            assert again.open(keyset.key_id).same_secret(keyset)
        _require_settled(root, again, keysets[point % 2])
    assert tried >= 40 // every


def _opened_by_either(root):
    """The lock of before or the new one, and not both."""
    opened = []
    for passphrase in (PASSPHRASE, NEW):
        try:
            opened.append(reopened(root, passphrase))
        except PassphraseError:
            continue
    assert len(opened) == 1
    return opened[0]


def _require_settled(root, opened, keyset):
    """The file opens for exactly those who open the store."""
    assert not list(root.rglob(".*.tmp"))
    assert not opened._inventory().resealing
    files = SealedFiles(root / "keysets")
    for opener in (lock(), lock(NEW), BOB, CAROL):
        in_file = _opens(lambda o=opener: files.data_key(keyset.key_id, o))
        assert in_file == _opens(lambda o=opener: open_seed(KeyStore(root)._store_file(), o))


def _opens(attempt):
    try:
        attempt()
    except AccessError:
        return False
    except SealError as error:
        assert "not sealed for" in str(error)
        return False
    return True
