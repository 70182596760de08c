"""Somebody who can write the store's files, but does not know the passphrase."""

from __future__ import annotations

import json
import os
import shutil

import pytest
from fixtures_keys import make_keyset
from fixtures_store import add, lock, new_store, primary, reopened

from blindfit.errors import AccessError, IntegrityError, KeyStateError, PassphraseError
from keys.access import SECRET_ACCESS
from keys.keyset import Keyset
from keys.recovery import RecoveryKey
from keys.seal import seal
from keys.secret_message import new_message, secret_part
from keys.states import KeyState
from keys.store import KeyStore
from keys.verification import check_manifest

BOB = RecoveryKey.generate()


@pytest.fixture
def store(root):
    store = new_store(root)
    primary(store)
    store.add_recipient("bob", BOB.recipient)
    return store


@pytest.fixture
def foreign(tmp_path):
    """A store of the attacker's, under a passphrase of the attacker's."""
    foreign = new_store(tmp_path / "foreign", b"of the attacker")
    primary(foreign)
    return foreign


def change(path, **members):
    document = json.loads(path.read_bytes())
    path.write_text(json.dumps({**document, **members}))


def put(source, target, name):
    (target / name).write_bytes((source / name).read_bytes())


def test_another_manifest_is_refused_without_and_with_the_passphrase(store, root, foreign):
    put(foreign.root, root, "manifest.json")
    with pytest.raises(IntegrityError, match="signature"):
        KeyStore(root).records()
    with pytest.raises(IntegrityError, match="signature"):
        reopened(root)


def test_another_store_in_its_place_does_not_open(store, root, foreign):
    for name in ("manifest.json", "store.json"):
        put(foreign.root, root, name)
    with pytest.raises(PassphraseError):
        reopened(root)


def test_an_open_store_does_not_believe_another_store_in_its_place(store, root, foreign):
    for name in ("manifest.json", "store.json"):
        put(foreign.root, root, name)
    assert KeyStore(root).records() == foreign.records()  # a reader without the passphrase does
    for use in (store.records, lambda: add(store)):
        with pytest.raises((IntegrityError, KeyStateError), match=r"signature|changed meanwhile"):
            use()


@pytest.mark.parametrize("name", ["manifest.json", "store.json"])
def test_a_file_of_before_does_not_bring_a_removed_recipient_back(store, root, name):
    old = (root / name).read_bytes()
    store.remove_recipient("bob")
    assert check_manifest(store) == []
    (root / name).write_bytes(old)
    with pytest.raises(IntegrityError, match="recovery recipients"):
        reopened(root)
    (finding,) = check_manifest(KeyStore(root))
    assert "restore" in finding.advice


@pytest.mark.parametrize("member", ["lock", "recovery", "public_key", "version", "signature"])
def test_every_member_of_store_json_is_bound_to_the_others(store, root, foreign, member):
    other = json.loads((foreign.root / "store.json").read_bytes())[member]
    change(root / "store.json", **{member: 2 if member == "version" else other})
    with pytest.raises(IntegrityError):
        KeyStore(root).records()
    with pytest.raises(IntegrityError):
        reopened(root)


def test_the_owners_stanza_does_not_vouch_for_the_attackers_key(store, root, foreign):
    """The attacker signs a file with their key and the stanza of the owner's passphrase."""
    mine = json.loads((root / "store.json").read_bytes())
    forged = _signed_by(foreign, lock=mine["lock"])
    (root / "store.json").write_bytes(forged)
    put(foreign.root, root, "manifest.json")
    with pytest.raises(IntegrityError, match="not the one that its stanzas wrap"):
        reopened(root)


def _signed_by(store, lock):
    from keys.sealed_files import KeptStanza
    from keys.store_key import lock_seed

    return lock_seed(store._seed, KeptStanza(lock), ())


@pytest.mark.parametrize("name", ["store.json", "manifest.json"])
def test_a_missing_file_is_no_empty_store(store, root, name):
    (root / name).unlink()
    with pytest.raises(IntegrityError, match="missing"):
        KeyStore(root).records()
    with pytest.raises((IntegrityError, KeyStateError), match=r"missing|already"):
        KeyStore(root).initialize(lock())


def test_members_that_are_repeated_or_unknown_are_refused(store, root):
    path = root / "store.json"
    content = path.read_bytes()
    for forged in (
        content.replace(b"{", b'{"version": 1,', 1),
        content.replace(b"{", b'{"more": 1,', 1),
        b"[]",
        b"",
        b"[" * 100_000,
    ):
        path.write_bytes(forged)
        with pytest.raises(IntegrityError, match="damaged"):
            KeyStore(root).records()


@pytest.mark.parametrize("name", ["store.json", "manifest.json", "audit.jsonl"])
def test_links_are_not_followed(store, root, name, tmp_path):
    key_id = store.records()[0].key_id
    (root / name).rename(tmp_path / "moved")
    (root / name).symlink_to(tmp_path / "moved")
    with pytest.raises(AccessError, match="symbolic link"):
        reopened(root).transition(key_id, KeyState.SUSPENDED)


def test_a_keyset_in_the_place_of_another_is_not_opened(store, root):
    first, second = add(store), add(store)
    shutil.copyfile(
        root / f"keysets/{first.key_id}.keyset", root / f"keysets/{second.key_id}.keyset"
    )
    with pytest.raises(IntegrityError, match="should be"):
        store.open(second.key_id)
    with pytest.raises(IntegrityError, match="another keyset"):
        store._files.data_key(second.key_id, lock())


def test_a_recovery_key_does_not_open_what_anybody_could_seal_for_it(store, root):
    """HPKE has no sender: the attacker seals secret keys of their own, under the known key_id."""
    keyset = add(store)
    message = new_message(keyset.description)
    secret_part(message)[:] = os.urandom(32)
    theirs = Keyset(SECRET_ACCESS, message, keyset.evaluation_keys)
    path = root / f"keysets/{keyset.key_id}.keyset"
    with path.open("wb") as file:
        seal(theirs, file, [BOB.recipient])
    assert store._files.open(keyset.key_id, BOB).same_secret(theirs)  # the file alone is valid
    recovered = KeyStore(root).unlock(BOB)
    with pytest.raises(IntegrityError, match="not the one that was sealed here"):
        recovered.open(keyset.key_id)
    with pytest.raises(KeyStateError, match="not the one that was sealed here"):
        recovered.change_lock(lock(b"new"))


def test_a_recovery_key_adopts_nothing(store, root):
    keyset = make_keyset()
    path = root / f"keysets/{keyset.key_id}.keyset"
    with path.open("wb") as file:
        seal(keyset, file, [BOB.recipient])
    path.chmod(0o600)
    assert keyset.key_id not in {r.key_id for r in KeyStore(root).unlock(BOB).records()}


def test_an_earlier_manifest_is_seen_by_the_log(store, root):
    earlier = (root / "manifest.json").read_bytes()
    store.transition(store.records()[0].key_id, KeyState.COMPROMISED)
    assert KeyStore(root).unconfirmed_lines() == 0
    (root / "manifest.json").write_bytes(earlier)
    assert KeyStore(root).unconfirmed_lines() == 1
