from __future__ import annotations

import json
import stat
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from fixtures_keys import CHEAP, PASSPHRASE, make_keyset

from blindfit.errors import (
    AccessError,
    IntegrityError,
    KeyStateError,
    NotFoundError,
    PassphraseError,
    SealError,
    UnavailableError,
)
from keys.lock import exclusive
from keys.states import KeyState
from keys.store import KeyStore

OTHER_PARAMS = "ef" * 32


@pytest.fixture
def root(tmp_path):
    return tmp_path / "keys"


@pytest.fixture
def store(root):
    return KeyStore(root, cost=CHEAP)


def add(store, model="digits", **kwargs):
    keyset = make_keyset(**kwargs)
    store.create(keyset, PASSPHRASE, model=model)
    return keyset


def primary(store, model="digits", **kwargs):
    keyset = add(store, model, **kwargs)
    store.promote(model, keyset.key_id)
    return keyset


def test_an_empty_store_lists_nothing_and_makes_no_folder(store, root):
    assert store.records() == [] and store.primary("digits") is None
    store.recover()
    assert not root.exists()


def test_a_created_keyset_is_pre_active_and_opens_again(store):
    keyset = add(store)
    record = store.record(keyset.key_id)
    assert (record.state, record.models) == (KeyState.PRE_ACTIVE, ("digits",))
    assert (record.params_id, record.created) == (keyset.params_id, keyset.created)
    assert store.open(keyset.key_id, PASSPHRASE).same_secret(keyset)
    assert store.primary("digits") is None


def test_a_wrong_passphrase_opens_nothing(store):
    with pytest.raises(PassphraseError):
        store.open(add(store).key_id, b"wrong")


def test_another_process_sees_the_same_store(store, root):
    keyset = primary(store)
    again = KeyStore(root)
    assert again.primary("digits") == store.primary("digits")
    assert again.open(keyset.key_id, PASSPHRASE).same_secret(keyset)


def test_files_are_private_and_keysets_are_never_overwritten(store, root):
    keyset = primary(store)
    for path in root.rglob("*"):
        mode = stat.S_IMODE(path.stat().st_mode)
        assert mode == (0o700 if path.is_dir() else 0o600), path
    before = (root / "keysets" / f"{keyset.key_id}.keyset").read_bytes()
    with pytest.raises(KeyStateError, match="already"):
        store.create(keyset, b"another", model="digits")
    assert (root / "keysets" / f"{keyset.key_id}.keyset").read_bytes() == before
    assert [p.name for p in (root / "keysets").iterdir()] == [f"{keyset.key_id}.keyset"]


def test_nothing_outside_the_sealed_file_holds_the_secret(store, root):
    secret = b"the secret key bytes of a client"
    add(store, secret=secret)
    for path in root.rglob("*"):
        if path.is_file():
            content = path.read_bytes()
            assert secret not in content and secret.hex().encode() not in content


def test_records_are_found_by_a_unique_prefix(store):
    keyset = add(store)
    assert store.record(keyset.key_id[:8]).key_id == keyset.key_id
    for unknown in ("", "x", keyset.key_id + "0"):
        with pytest.raises(NotFoundError):
            store.record(unknown)
    prefixes = {}
    while True:
        key_id = add(store).key_id
        if key_id[0] in prefixes:
            break
        prefixes[key_id[0]] = key_id
    with pytest.raises(NotFoundError, match="not unique"):
        store.record(key_id[0])


def test_promoting_deactivates_the_old_primary_which_still_opens(store):
    old, new = primary(store), primary(store)
    assert store.primary("digits").key_id == new.key_id
    assert store.record(old.key_id).state is KeyState.DEACTIVATED
    assert store.open(old.key_id, PASSPHRASE).same_secret(old)
    with pytest.raises(KeyStateError, match="cannot become ACTIVE"):
        store.promote("digits", old.key_id)


def test_promoting_again_changes_nothing(store):
    keyset = primary(store)
    before = store.records(), store.audit.verify()
    store.promote("digits", keyset.key_id)
    assert (store.records(), store.audit.verify()) == before


def test_models_that_share_a_key_move_together(store):
    old = primary(store)
    store.promote("health", old.key_id)
    new = primary(store)
    assert store.primaries() == {"digits": new.key_id, "health": new.key_id}
    assert store.record(old.key_id).state is KeyState.DEACTIVATED
    assert store.active(old.params_id).key_id == new.key_id


def test_keys_of_other_parameters_stay_active(store):
    health = primary(store, "health", params_id=OTHER_PARAMS)
    primary(store)
    primary(store)
    assert store.primary("health").key_id == health.key_id
    assert store.record(health.key_id).state is KeyState.ACTIVE


def test_a_model_that_changes_its_parameters_frees_only_its_own_key(store):
    shared = primary(store)
    store.promote("health", shared.key_id)
    changed = primary(store, "health", params_id=OTHER_PARAMS)
    assert store.primaries() == {"digits": shared.key_id, "health": changed.key_id}
    assert store.record(shared.key_id).state is KeyState.ACTIVE


def test_only_one_key_of_the_same_parameters_is_active(store):
    suspended = primary(store)
    store.transition(suspended.key_id, KeyState.SUSPENDED)
    other = primary(store)
    store.transition(suspended.key_id, KeyState.ACTIVE)
    newest = primary(store)
    states = {record.key_id: record.state for record in store.records()}
    assert states == {
        suspended.key_id: KeyState.DEACTIVATED,
        other.key_id: KeyState.DEACTIVATED,
        newest.key_id: KeyState.ACTIVE,
    }


def test_leaving_active_ends_being_primary(store):
    keyset = primary(store)
    store.transition(keyset.key_id, KeyState.COMPROMISED)
    assert store.primary("digits") is None and store.primaries() == {}


def test_destroying_leaves_a_tombstone_and_no_file(store, root):
    old = primary(store)
    primary(store)
    store.destroy(old.key_id)
    assert store.record(old.key_id).state is KeyState.DESTROYED
    assert not (root / "keysets" / f"{old.key_id}.keyset").exists()
    with pytest.raises(KeyStateError, match="destroyed"):
        store.open(old.key_id, PASSPHRASE)


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
    assert store.open(keyset.key_id, PASSPHRASE).same_secret(keyset)


@pytest.mark.parametrize("part", [".", "keysets", "manifest.json", "keysets/{key}.keyset"])
def test_loose_permissions_are_refused(store, root, part):
    keyset = primary(store)
    path = root / part.format(key=keyset.key_id)
    path.chmod(path.stat().st_mode | 0o040)
    with pytest.raises(AccessError, match="others"):
        store.open(keyset.key_id, PASSPHRASE)
        store.create(make_keyset(), PASSPHRASE, model="digits")


@pytest.mark.parametrize("part", [".", "manifest.json", "keysets/{key}.keyset"])
def test_symbolic_links_are_refused(store, root, part):
    keyset = primary(store)
    path = root / part.format(key=keyset.key_id)
    moved = root.parent / "moved"
    path.rename(moved)
    path.symlink_to(moved)
    with pytest.raises(AccessError, match="symbolic link"):
        store.open(keyset.key_id, PASSPHRASE)


def test_a_damaged_manifest_is_an_error_and_not_an_empty_store(store, root):
    primary(store)
    for content in (b"", b"{}", b"[1]", b'{"version": 99}'):
        (root / "manifest.json").write_bytes(content)
        with pytest.raises(IntegrityError, match="damaged"):
            store.records()


def test_a_missing_keyset_file_is_named(store, root):
    keyset = add(store)
    (root / "keysets" / f"{keyset.key_id}.keyset").unlink()
    with pytest.raises(SealError, match="missing"):
        store.open(keyset.key_id, PASSPHRASE)


def test_leftovers_of_dead_processes_are_swept(store, root):
    primary(store)
    leftovers = [root / ".manifest.json.00.tmp", root / "keysets" / ".aa.00.tmp"]
    for path in leftovers:
        path.write_bytes(b"half")
    store.recover()
    assert not any(path.exists() for path in leftovers)


def test_a_keyset_without_a_record_is_adopted_and_not_lost(store, root):
    keyset = add(store)
    (root / "manifest.json").unlink()
    store.recover()
    record = store.record(keyset.key_id)
    assert (record.state, record.params_id) == (KeyState.PRE_ACTIVE, keyset.params_id)
    assert store.open(keyset.key_id, PASSPHRASE).same_secret(keyset)


def test_a_half_finished_destruction_is_finished(store, root):
    keyset = add(store)
    path = root / "keysets" / f"{keyset.key_id}.keyset"
    content = path.read_bytes()
    store.destroy(keyset.key_id)
    path.write_bytes(content)
    path.chmod(0o600)
    store.recover()
    assert not path.exists()


def test_a_damaged_file_without_a_record_blocks_nothing(store, root):
    keyset = primary(store)
    stray = root / "keysets" / f"{'00' * 32}.keyset"
    stray.write_bytes(b"noise")
    stray.chmod(0o600)
    store.recover()
    assert [record.key_id for record in store.records()] == [keyset.key_id]
    assert stray.exists()


def test_every_change_counts_a_generation_and_is_logged(store, root):
    keyset = primary(store)
    document = json.loads((root / "manifest.json").read_bytes())
    assert document["generation"] == 2
    assert store.audit.verify(document["audit_head"]) == 3
    told = [(e["event"], e.get("to"), e.get("model")) for e in store.audit.entries()]
    assert told == [
        ("key", "PRE_ACTIVE", None),
        ("key", "ACTIVE", None),
        ("primary", None, "digits"),
    ]
    assert {e["key_id"] for e in store.audit.entries()} == {keyset.key_id}


def test_the_lock_works_between_processes(store, root):
    add(store)
    script = f"""
        import time
        from pathlib import Path
        from keys.lock import exclusive
        with exclusive(Path({str(root / "lock")!r})):
            print("held", flush=True)
            time.sleep(60)
    """
    holder = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(script)], stdout=subprocess.PIPE, text=True
    )
    try:
        assert holder.stdout.readline() == "held\n"
        with (
            pytest.raises(UnavailableError, match="another process"),
            exclusive(root / "lock", timeout=0.1),
        ):
            pass
    finally:
        holder.kill()
        holder.wait()
        holder.stdout.close()
    with exclusive(root / "lock", timeout=5):
        pass


def test_processes_that_create_at_once_lose_nothing(root):
    script = f"""
        import sys
        sys.path.insert(0, {str(Path(__file__).parents[1])!r})
        from pathlib import Path
        from fixtures_keys import CHEAP, PASSPHRASE, make_keyset
        from keys.store import KeyStore
        store = KeyStore(Path({str(root)!r}), cost=CHEAP)
        for _ in range(5):
            store.create(make_keyset(), PASSPHRASE, model="digits")
    """
    command = [sys.executable, "-c", textwrap.dedent(script)]
    writers = [subprocess.Popen(command) for _ in range(3)]
    assert [writer.wait(60) for writer in writers] == [0, 0, 0]
    store = KeyStore(root)
    assert len(store.records()) == 15
    assert store.audit.verify() == 15
