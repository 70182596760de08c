from __future__ import annotations

import shutil
from datetime import timedelta

import pytest
from fixtures_keys import PARAMS
from fixtures_store import add, primary, reopened

from blindfit.errors import IntegrityError
from blindfit.wire_types import KeyStatus
from keys.journal import Kind, new_journal
from keys.journals import Journals
from keys.server_comparison import compare_with_server
from keys.states import KeyState
from keys.store import KeyStore
from keys.verification import (
    check_audit,
    check_files,
    check_journals,
    check_keysets,
    check_manifest,
)


def everything(root):
    store = KeyStore(root)
    return check_manifest(store) or [*check_audit(store), *check_files(store)]


def file_of(root, keyset):
    return root / "keysets" / f"{keyset.key_id}.keyset"


def flip(path, position):
    content = bytearray(path.read_bytes())
    content[position] ^= 1
    path.write_bytes(content)


def test_nothing_is_wrong_with_a_store_in_use(store, root):
    primary(store)
    destroyed = primary(store)
    primary(store)
    store.destroy(destroyed.key_id)
    assert everything(root) == [] and check_keysets(reopened(root)) == []


def test_nothing_is_wrong_with_a_home_without_keys(root):
    assert everything(root) == []


def test_a_changed_manifest_is_all_that_is_told(store, root):
    flip(root / "manifest.json", -5)
    (finding,) = everything(root)
    assert finding.subject == "manifest"
    assert "keys/manifest.json" in finding.advice and "restore BACKUP" in finding.advice


def test_a_damaged_header_is_found_without_the_passphrase(store, root):
    keyset = add(store)
    flip(file_of(root, keyset), 30)
    (finding,) = everything(root)
    assert finding.subject == f"key {keyset.key_id[:12]}" and "damaged" in finding.problem


def test_a_damaged_payload_is_found_with_the_passphrase(store, root):
    keyset, good = add(store), add(store)
    flip(file_of(root, keyset), -1)
    assert everything(root) == []
    (finding,) = check_keysets(reopened(root))
    assert finding.subject == f"key {keyset.key_id[:12]}" and "chunk" in finding.problem
    assert good.key_id[:12] not in finding.subject


def test_missing_loose_unknown_and_left_files_are_each_named(store, root):
    missing, loose, destroyed = add(store), add(store), add(store)
    file_of(root, missing).unlink()
    file_of(root, loose).chmod(0o644)
    kept = file_of(root, destroyed).read_bytes()
    store.destroy(destroyed.key_id)
    file_of(root, destroyed).write_bytes(kept)
    unknown = "ab" * 32
    (root / "keysets" / f"{unknown}.keyset").write_bytes(kept)
    (root / "keysets" / ".ab.00.tmp").write_bytes(b"")
    (root / ".store.json.00.tmp").write_bytes(b"")
    told = {finding.subject: finding.problem for finding in everything(root)}
    assert "missing" in told.pop(f"key {missing.key_id[:12]}")
    assert "others" in told.pop(f"key {loose.key_id[:12]}")
    assert "DESTROYED" in told.pop(f"key {destroyed.key_id[:12]}")
    assert "not in the manifest" in told.pop(f"key {unknown[:12]}")
    assert told.keys() == {".ab.00.tmp", ".store.json.00.tmp"}


def test_a_changed_a_cut_and_a_lost_log_are_found(store, root):
    path = root / "audit.jsonl"
    add(store)
    content = path.read_bytes()
    for damaged in (content.replace(b"PRE_ACTIVE", b"ACTIVE"), content.splitlines(True)[0]):
        path.write_bytes(damaged)
        (finding,) = everything(root)
        assert finding.subject == "audit log"
    add(store)  # sets the damaged log aside
    (finding,) = everything(root)
    assert finding.subject.startswith("audit-damaged-")


def test_a_manifest_of_earlier_shows_in_the_log(store, root):
    keyset = primary(store)
    earlier = (root / "manifest.json").read_bytes()
    store.transition(keyset.key_id, KeyState.COMPROMISED)
    (root / "manifest.json").write_bytes(earlier)
    (finding,) = everything(root)
    assert finding.subject == "audit log" and "earlier copy" in finding.problem


@pytest.mark.parametrize("content", [b"garbage", b"{}", None])
def test_a_journal_that_would_stop_all_rotations_is_found_and_named(store, root, content):
    journals = Journals(store)
    with journals.only_one(PARAMS):
        for params_id in (PARAMS, "ef" * 32):
            journals.save(store, new_journal(Kind.ROTATE, ("m",), params_id, None, timedelta(0)))
    assert check_journals(KeyStore(root)) == []
    path = sorted((root / "rotations").glob("*.json"))[0]
    path.write_bytes(path.read_bytes().replace(b'"m"', b'"n"') if content is None else content)
    (finding,) = check_journals(KeyStore(root))
    with pytest.raises(IntegrityError) as stopped:
        Journals(store).all()
    assert str(path) in finding.problem and "move it away" in finding.advice
    assert (finding.problem, finding.advice) == (str(stopped.value), stopped.value.hint)
    path.rename(root / "aside")
    assert check_journals(KeyStore(root)) == [] and len(Journals(store).all()) == 1


# -- with the server -----------------------------------------------------------------------------


def status(key_id, state):
    return KeyStatus(key_id, PARAMS, state, 64, 64)


def compared(store, *held):
    return list(compare_with_server(store.records(), held))


def test_store_and_server_agree_during_and_after_a_rotation(store):
    old, new = primary(store), primary(store)
    staged = add(store)
    held = [status(old.key_id, "RETIRING"), status(new.key_id, "ACTIVE")]
    assert compared(store, *held, status(staged.key_id, "STAGED")) == []
    assert compared(store, status(old.key_id, "REVOKED"), held[1]) == []
    assert compared(store, status("00" * 32, "DELETED"), held[1]) == []


@pytest.mark.parametrize(
    ("here", "there", "advice"),
    [
        ("ACTIVE", None, "uploads it again"),
        ("ACTIVE", "STAGED", "rotate --resume"),
        ("ACTIVE", "RETIRING", "earlier copy"),
        ("ACTIVE", "REVOKED", "rotate --model digits"),
        ("PRE_ACTIVE", "ACTIVE", "rotate --resume"),
        ("DEACTIVATED", "ACTIVE", "blindfit-keys revoke"),
        ("COMPROMISED", "RETIRING", "blindfit-keys revoke"),
        ("DESTROYED", "ACTIVE", "blindfit-keys revoke"),
        ("SUSPENDED", "REVOKED", "rotate --model digits"),
    ],
)
def test_each_disagreement_says_what_to_do(store, here, there, advice):
    keyset = add(store)
    if here in {"ACTIVE", "SUSPENDED"}:
        store.promote("digits", keyset.key_id)
    if here not in {"ACTIVE", "PRE_ACTIVE"}:
        store.transition(keyset.key_id, KeyState(here))
    held = [status(keyset.key_id, there)] if there else []
    (finding,) = compared(store, *held)
    assert finding.subject == f"key {keyset.key_id[:12]}"
    assert here in finding.problem and (there or "not at all") in finding.problem
    assert advice in finding.advice


def test_a_folder_that_was_put_back_shows_by_what_the_server_holds(store, root, tmp_path):
    old = primary(store)
    shutil.copytree(root, tmp_path / "copy")
    new = primary(store)
    held = [status(old.key_id, "REVOKED"), status(new.key_id, "ACTIVE")]
    assert compared(store, *held) == []
    earlier = KeyStore(tmp_path / "copy")
    assert everything(tmp_path / "copy") == []  # nothing here tells
    told = {finding.subject: finding.advice for finding in compared(earlier, *held)}
    assert told.keys() == {f"key {old.key_id[:12]}", f"key {new.key_id[:12]}"}
    assert all("earlier copy" in advice for advice in told.values())
