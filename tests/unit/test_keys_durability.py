"""In which order the disk is told: bytes, then their name, then the folder that holds the name."""

from __future__ import annotations

import io
from datetime import timedelta

import pytest
from fixtures_disk import DiskLog
from fixtures_keys import PARAMS, make_keyset
from fixtures_store import lock, new_store, primary

from keys.journal import Kind, new_journal
from keys.journals import Journals
from keys.recovery import RecoveryKey
from keys.restoring import restore_backup

BOB = RecoveryKey.generate()


@pytest.fixture
def store(tmp_path):
    return new_store(tmp_path / "keys")


@pytest.fixture
def disk(store, monkeypatch):
    log = DiskLog(store.root.parent)
    log.install(monkeypatch)
    return log


def test_a_sealed_keyset_is_on_the_disk_before_its_name_and_its_record(store, disk):
    key_id = store.create(make_keyset(), model="digits").key_id
    assert disk.names() == [f"keys/keysets/{key_id}.keyset", "keys/manifest.json"]
    synced = disk.index("sync", "keys/keysets")
    assert synced < disk.index("sync", "keys/audit.jsonl")


def test_a_line_of_the_log_is_on_the_disk_before_the_manifest_that_confirms_it(store, disk):
    store.create(make_keyset(), model="digits")
    (named,) = (n for n, told in enumerate(disk.told) if told[-1] == "keys/manifest.json")
    synced = disk.index("sync", "keys/audit.jsonl")
    assert disk.told[synced + 1] == ("sync", "keys") and synced + 1 < named


def test_a_resealed_keyset_is_on_the_disk_before_it_takes_the_place_of_the_old(store, disk):
    key_id = store.create(make_keyset(), model="digits").key_id
    disk.told.clear()
    store.add_recipient("bob", BOB.recipient)
    sealed = f"keys/keysets/{key_id}.keyset"
    assert disk.names() == [
        "keys/manifest.json",
        sealed,
        "keys/store.json",
        "keys/manifest.json",
    ]


def test_a_destroyed_keyset_is_overwritten_on_the_disk_before_it_goes(store, disk):
    key_id = store.create(make_keyset(), model="digits").key_id
    disk.told.clear()
    store.destroy(key_id)
    sealed = f"keys/keysets/{key_id}.keyset"
    assert disk.removed() == [sealed]
    assert disk.index("sync", sealed) < disk.index("unlink", sealed)


def test_a_journal_goes_from_the_disk(store, disk):
    journals = Journals(store)
    journal = new_journal(Kind.ROTATE, ("digits",), PARAMS, None, timedelta(0))
    with journals.only_one(PARAMS):
        journals.save(store, journal)
        journals.remove(journal)
    path = f"keys/rotations/{journal.rotation_id}.json"
    assert disk.names() == disk.removed() == [path]


def test_a_restored_store_is_on_the_disk_whole_before_it_has_its_name(store, disk):
    primary(store)
    file = io.BytesIO()
    store.back_up(file, [BOB.recipient])
    file.seek(0)
    home = store.root.parent / "home"
    home.mkdir(mode=0o700)
    disk.told.clear()
    restore_backup(home, file, BOB, lock(), confirm=print)
    number, staging = next(
        (n, told[1]) for n, told in enumerate(disk.told) if told[2:] == ("home/keys",)
    )
    before = disk.told[:number]
    for path in ("", "/keysets", "/manifest.json", "/store.json", "/audit.jsonl"):
        assert ("sync", f"{staging}{path}") in before
    assert disk.names()[-1] == "home/keys"
