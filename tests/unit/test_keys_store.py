from __future__ import annotations

import json
import pickle
import stat
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from fixtures_keys import make_keyset
from fixtures_store import add, lock, new_store, primary, reopened

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


def test_a_created_keyset_is_pre_active_and_opens_again(store):
    keyset = add(store)
    record = store.record(keyset.key_id)
    assert (record.state, record.models) == (KeyState.PRE_ACTIVE, ("digits",))
    assert (record.params_id, record.created) == (keyset.params_id, keyset.created)
    assert store.open(keyset.key_id).same_secret(keyset)
    assert store.primary("digits") is None


def test_files_are_private_and_keysets_are_never_overwritten(store, root):
    keyset = primary(store)
    for path in root.rglob("*"):
        mode = stat.S_IMODE(path.stat().st_mode)
        assert mode == (0o700 if path.is_dir() else 0o600), path
    before = (root / "keysets" / f"{keyset.key_id}.keyset").read_bytes()
    with pytest.raises(KeyStateError, match="already"):
        store.create(keyset, model="digits")
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
    assert store.open(old.key_id).same_secret(old)
    with pytest.raises(KeyStateError, match="cannot become ACTIVE"):
        store.promote("digits", old.key_id)


def test_promoting_again_changes_nothing(store):
    keyset = primary(store)
    before = store.records(), store.history()
    store.promote("digits", keyset.key_id)
    assert (store.records(), store.history()) == before


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


def test_leaving_active_ends_being_primary(store):
    keyset = primary(store)
    store.transition(keyset.key_id, KeyState.COMPROMISED)
    assert store.primary("digits") is None and store.primaries() == {}


@pytest.mark.parametrize("part", [".", "manifest.json", "keysets/{key}.keyset"])
def test_symbolic_links_are_refused(store, root, part):
    keyset = primary(store)
    path = root / part.format(key=keyset.key_id)
    moved = root.parent / "moved"
    path.rename(moved)
    path.symlink_to(moved)
    with pytest.raises(AccessError, match="symbolic link"):
        store.open(keyset.key_id)


def test_a_missing_keyset_file_is_named(store, root):
    keyset = add(store)
    (root / "keysets" / f"{keyset.key_id}.keyset").unlink()
    with pytest.raises(SealError, match="missing"):
        store.open(keyset.key_id)


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


def test_an_empty_store_lists_nothing_and_makes_no_folder(root):
    store = KeyStore(root)
    assert store.records() == [] and store.primary("digits") is None and not store.exists
    with pytest.raises(NotFoundError, match="no keys"):
        store.unlock(lock())
    assert not root.exists()


def test_a_store_is_made_once(store, root):
    keyset = primary(store)
    with pytest.raises(KeyStateError, match="already"):
        KeyStore(root).initialize(lock(b"another"))
    assert reopened(root).open(keyset.key_id).same_secret(keyset)


def test_a_wrong_passphrase_opens_nothing(store, root):
    add(store)
    with pytest.raises(PassphraseError):
        reopened(root, b"wrong")


def test_another_process_sees_the_same_store(store, root):
    keyset = primary(store)
    assert KeyStore(root).primary("digits") == store.primary("digits")
    assert reopened(root).open(keyset.key_id).same_secret(keyset)


@pytest.mark.parametrize("part", [".", "keysets", "store.json", "manifest.json", "audit.jsonl"])
def test_loose_permissions_are_refused(store, root, part):
    primary(store)
    path = root / part
    path.chmod(path.stat().st_mode | 0o040)
    with pytest.raises(AccessError, match="others"):
        store.create(make_keyset(), model="digits")


def test_a_keyset_that_others_may_read_is_not_opened(store, root):
    keyset = primary(store)
    (root / "keysets" / f"{keyset.key_id}.keyset").chmod(0o640)
    with pytest.raises(AccessError, match="others"):
        store.open(keyset.key_id)


def test_a_suspended_key_comes_back_as_the_primary_of_its_models(store):
    keyset = primary(store)
    store.promote("health", keyset.key_id)
    store.transition(keyset.key_id, KeyState.SUSPENDED)
    assert store.primaries() == {} and store.active(keyset.params_id) is None
    changed = primary(store, "health", params_id=OTHER_PARAMS)
    store.transition(keyset.key_id, KeyState.ACTIVE)
    assert store.primaries() == {"digits": keyset.key_id, "health": changed.key_id}


def test_two_keys_of_the_same_parameters_are_never_active(store):
    suspended = primary(store)
    store.transition(suspended.key_id, KeyState.SUSPENDED)
    other = primary(store)
    with pytest.raises(KeyStateError, match="is ACTIVE for the parameters"):
        store.transition(suspended.key_id, KeyState.ACTIVE)
    store.transition(other.key_id, KeyState.SUSPENDED)
    store.transition(suspended.key_id, KeyState.ACTIVE)
    assert store.active(suspended.params_id).key_id == suspended.key_id


def test_leftovers_of_dead_processes_are_swept(store, root):
    primary(store)
    leftovers = [root / ".manifest.json.00.tmp", root / "keysets" / ".aa.00.tmp"]
    for path in leftovers:
        path.write_bytes(b"half")
    KeyStore(root).records()
    assert all(path.exists() for path in leftovers)  # a reader may not know whose they are
    reopened(root)
    assert not any(path.exists() for path in leftovers)


def test_a_keyset_without_a_record_is_adopted_and_not_lost(store, root):
    manifest = (root / "manifest.json").read_bytes()
    keyset = add(store)
    (root / "manifest.json").write_bytes(manifest)
    again = reopened(root)
    record = again.record(keyset.key_id)
    assert (record.state, record.params_id) == (KeyState.PRE_ACTIVE, keyset.params_id)
    assert again.open(keyset.key_id).same_secret(keyset)


def test_a_keyset_of_somebody_else_is_not_adopted(store, root, tmp_path):
    foreign = new_store(tmp_path / "other", b"of somebody else")
    keyset = add(foreign)
    name = f"keysets/{keyset.key_id}.keyset"
    add(store)
    (root / name).write_bytes((tmp_path / "other" / name).read_bytes())
    (root / name).chmod(0o600)
    assert keyset.key_id not in {record.key_id for record in reopened(root).records()}
    assert (root / name).exists()


def test_a_damaged_file_without_a_record_blocks_nothing(store, root):
    keyset = primary(store)
    stray = root / "keysets" / f"{'00' * 32}.keyset"
    stray.write_bytes(b"noise")
    stray.chmod(0o600)
    assert [record.key_id for record in reopened(root).records()] == [keyset.key_id]
    assert stray.exists()


def test_every_change_counts_a_generation_and_is_logged(store, root):
    keyset = primary(store)
    signed = json.loads((root / "manifest.json").read_bytes())["signed"]
    assert signed["generation"] == 3
    told = [(e["generation"], e["event"], e.get("to"), e.get("model")) for e in store.history()]
    assert told == [
        (1, "store", None, None),
        (2, "key", "PRE_ACTIVE", None),
        (3, "key", "ACTIVE", None),
        (3, "primary", None, "digits"),
    ]
    assert {e.get("key_id") for e in store.history()} == {None, keyset.key_id}


def test_the_store_signs_for_one_purpose_at_a_time(store, root):
    signature = store.sign(b"content", "journal")
    KeyStore(root).require_signed(b"content", signature, "journal")
    for content, purpose in ((b"content", "manifest"), (b"changed", "journal")):
        with pytest.raises(IntegrityError, match="not signed"):
            KeyStore(root).require_signed(content, signature, purpose)
    with pytest.raises(ValueError, match="purpose"):
        store.sign(b"content", "two\nlines")


def test_an_unlocked_store_is_not_pickled_or_shown(store):
    with pytest.raises(TypeError, match="secret"):
        pickle.dumps(store)
    assert store._seed.hex() not in repr(store) + repr(vars(store)["_opener"])


def test_processes_that_change_at_once_lose_nothing(root):
    new_store(root)
    script = f"""
        import sys
        sys.path.insert(0, {str(Path(__file__).parents[1])!r})
        from pathlib import Path
        from fixtures_store import add, primary, reopened
        store = reopened(Path({str(root)!r}))
        for _ in range(5):
            add(store)
            primary(store)
    """
    command = [sys.executable, "-c", textwrap.dedent(script)]
    writers = [subprocess.Popen(command) for _ in range(3)]
    assert [writer.wait(60) for writer in writers] == [0, 0, 0]
    store = reopened(root)
    states = [record.state for record in store.records()]
    assert states.count(KeyState.PRE_ACTIVE) == 15
    assert (states.count(KeyState.ACTIVE), states.count(KeyState.DEACTIVATED)) == (1, 14)
    for record in store.records():
        store.open(record.key_id).wipe()
    assert store.history()[-1]["generation"] == 1 + 30 + 15
