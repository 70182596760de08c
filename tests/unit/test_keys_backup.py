from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
import struct
from contextlib import nullcontext

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from fixtures_crash import kill_points
from fixtures_keys import PASSPHRASE
from fixtures_store import add, lock, new_store, primary, reopened

from blindfit.errors import (
    IntegrityError,
    KeyStateError,
    PassphraseError,
    SealError,
)
from keys.backup import Snapshot, write_backup
from keys.backup_members import Member, MemberReader
from keys.recovery import RecoveryKey
from keys.restoring import restore_backup
from keys.sealed_files import SealedFiles
from keys.states import KeyState
from keys.store import KeyStore

BOB, CAROL = RecoveryKey.generate(), RecoveryKey.generate()
NEW = b"of the new machine"


@pytest.fixture
def store(tmp_path):
    return new_store(tmp_path / "old" / "keys")


@pytest.fixture
def home(tmp_path):
    home = tmp_path / "home"
    home.mkdir(mode=0o700)
    return home


def backed_up(store, *recipients):
    file = io.BytesIO()
    store.back_up(file, recipients or [BOB.recipient])
    return file.getvalue()


def restored(home, content, opener=BOB, passphrase=NEW):
    return restore_backup(home, io.BytesIO(content), opener, lock(passphrase), confirm=print)


def test_a_restored_store_has_the_keys_states_and_log_of_before(store, home):
    old, new, health = primary(store), primary(store), primary(store, "health", params_id="ef" * 32)
    destroyed, compromised = add(store), add(store)
    store.destroy(destroyed.key_id)
    store.transition(compromised.key_id, KeyState.COMPROMISED)
    content = backed_up(store)
    again = restored(home, content)
    assert again.records() == store.records() and again.primaries() == store.primaries()
    for keyset in (old, new, health, compromised):
        opened = reopened(home / "keys", NEW).open(keyset.key_id)
        assert opened.same_secret(keyset)
        assert opened.evaluation_keys == keyset.evaluation_keys
    assert again.history()[:-1] == store.history()
    assert again.history()[-1]["event"] == "restored"
    assert again.fingerprint() == store.fingerprint()
    assert {p.name for p in home.iterdir()} == {"keys", ".restore.lock"}


def test_the_old_passphrase_does_not_open_what_was_restored(store, home):
    primary(store)
    restored(home, backed_up(store))
    with pytest.raises(PassphraseError):
        reopened(home / "keys", PASSPHRASE)


def test_each_of_several_recipients_can_restore_and_nobody_else(store, tmp_path):
    keyset = primary(store, evaluation_keys=os.urandom(200_000))
    content = backed_up(store, BOB.recipient, CAROL.recipient)
    for number, key in enumerate((BOB, CAROL)):
        home = tmp_path / str(number)
        assert restored(home, content, key).open(keyset.key_id).same_secret(keyset)
    with pytest.raises(PassphraseError):
        restored(tmp_path / "none", content, RecoveryKey.generate())
    with pytest.raises(SealError, match="not sealed for"):
        restored(tmp_path / "none", content, lock())


def test_recovery_recipients_of_the_store_open_what_was_restored(store, home):
    keyset = primary(store)
    store.add_recipient("carol", CAROL.recipient)
    restored(home, backed_up(store, BOB.recipient))
    recovered = KeyStore(home / "keys").unlock(CAROL)
    assert recovered.open(keyset.key_id).same_secret(keyset)
    assert recovered.recipients() == {"carol": str(CAROL.recipient)}


def test_a_backup_holds_no_secret_in_clear(store):
    secret = b"the secret key bytes of a client"
    primary(store, secret=secret)
    content = backed_up(store)
    for known in (secret, bytes(store._seed), PASSPHRASE):
        assert known not in content and known.hex().encode() not in content


def test_a_home_with_keys_is_left_alone(store, home):
    content = backed_up(store)
    mine = primary(new_store(home / "keys"))
    with pytest.raises(KeyStateError, match="has keys already"):
        restored(home, content)
    assert reopened(home / "keys").open(mine.key_id).same_secret(mine)


def test_a_folder_without_files_is_no_obstacle_but_a_link_is(store, home, tmp_path):
    content = backed_up(store)
    (home / "keys").symlink_to(tmp_path)
    with pytest.raises(KeyStateError, match="has keys already"):
        restored(home, content)
    (home / "keys").unlink()
    (home / "keys" / "rotations").mkdir(mode=0o700, parents=True)
    (home / "keys").chmod(0o700)
    (home / "keys" / "lock").touch(0o600)
    assert restored(home, content).records() == store.records()


def test_a_damaged_keyset_stops_the_backup_and_is_named(store):
    keyset = primary(store)
    path = store.root / "keysets" / f"{keyset.key_id}.keyset"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    file = io.BytesIO()
    with pytest.raises(SealError):
        store.back_up(file, [BOB.recipient])
    assert file.getvalue() == b""


def test_any_flipped_byte_and_any_cut_restores_nothing(store, home):
    primary(store)
    content = backed_up(store)
    for position in range(0, len(content), 7):
        broken = bytearray(content)
        broken[position] ^= 1 << (position % 8)
        with pytest.raises((IntegrityError, PassphraseError)):
            restored(home, bytes(broken))
    for length in (0, 15, 100, len(content) // 2, len(content) - 17, len(content) - 1):
        with pytest.raises(IntegrityError):
            restored(home, content[:length])
    with pytest.raises(IntegrityError):
        restored(home, content + b"\0")
    assert not (home / "keys").exists()
    assert {p.name for p in home.iterdir()} == {".restore.lock"}


def test_chunks_that_are_dropped_or_moved_restore_nothing(store, home):
    primary(store, evaluation_keys=os.urandom(300_000))
    content = backed_up(store)
    chunk = 65_536 + 16
    first = _payload_start(content)
    chunks = [content[i : i + chunk] for i in range(first, len(content), chunk)]
    assert len(chunks) > 4
    for changed in (
        chunks[1:],
        chunks[:2] + chunks[3:],
        chunks[:-1],
        [chunks[1], chunks[0], *chunks[2:]],
        [*chunks, chunks[-1]],
    ):
        with pytest.raises(IntegrityError):
            restored(home, content[:first] + b"".join(changed))
    assert not (home / "keys").exists()


def test_a_backup_without_one_of_its_keysets_restores_nothing(store, home):
    primary(store)
    add(store)
    file = io.BytesIO()
    snapshot = Snapshot(
        seed=store._seed,
        manifest=(store.root / "manifest.json").read_bytes(),
        audit=(store.root / "audit.jsonl").read_bytes(),
        records=store.records()[:1],
        files=store._files,
        opener=lock(),
    )
    write_backup(file, snapshot, [BOB.recipient])
    with pytest.raises(SealError, match="not those of its manifest"):
        restored(home, file.getvalue())
    assert not (home / "keys").exists()


def test_a_backup_with_a_changed_log_restores_nothing(store, home):
    primary(store)
    file = io.BytesIO()
    snapshot = Snapshot(
        seed=store._seed,
        manifest=(store.root / "manifest.json").read_bytes(),
        audit=(store.root / "audit.jsonl").read_bytes().replace(b"ACTIVE", b"active"),
        records=store.records(),
        files=store._files,
        opener=lock(),
    )
    write_backup(file, snapshot, [BOB.recipient])
    with pytest.raises(IntegrityError, match="does not follow"):
        restored(home, file.getvalue())
    assert not (home / "keys").exists()


class Unchecked(SealedFiles):
    """Files that nobody looks into, as in a backup that another program made."""

    def open(self, key_id, opener):
        return nullcontext()


def test_a_well_formed_backup_around_a_damaged_keyset_restores_nothing(store, home):
    keyset = primary(store)
    path = store.root / "keysets" / f"{keyset.key_id}.keyset"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    file = io.BytesIO()
    snapshot = Snapshot(
        seed=store._seed,
        manifest=(store.root / "manifest.json").read_bytes(),
        audit=(store.root / "audit.jsonl").read_bytes(),
        records=store.records(),
        files=Unchecked(path.parent),
        opener=lock(),
    )
    write_backup(file, snapshot, [BOB.recipient])
    with pytest.raises(SealError):
        restored(home, file.getvalue())
    assert not (home / "keys").exists()


def test_a_backup_with_another_stores_keys_restores_nothing(store, home, tmp_path):
    other = new_store(tmp_path / "other")
    file = io.BytesIO()
    snapshot = Snapshot(
        seed=other._seed,
        manifest=(store.root / "manifest.json").read_bytes(),
        audit=(store.root / "audit.jsonl").read_bytes(),
        records=[],
        files=store._files,
        opener=lock(),
    )
    write_backup(file, snapshot, [BOB.recipient])
    with pytest.raises(IntegrityError, match="signature"):
        restored(home, file.getvalue())


def _member(kind, content=b"", length=None):
    return struct.pack(">BQ", kind, len(content) if length is None else length) + content


@pytest.mark.parametrize(
    ("payload", "refusal"),
    [
        (b"", "cut"),
        (_member(1, b"secrets")[:-1], "cut"),
        (_member(1, length=1 << 60), "too large"),
        (_member(2, b"manifest"), "something else"),
        (_member(1, b"secrets") + _member(5)[:-1], "cut"),
        (_member(1, b"secrets") + _member(5) + b"\0", "behind its end"),
        (_member(1, b"secrets") + _member(5, b"more"), "behind its end"),
    ],
)
@pytest.mark.parametrize("size", [1, 5, 1000])
def test_members_out_of_order_cut_or_too_many_are_refused(payload, refusal, size):
    pieces = (bytearray(payload[i : i + size]) for i in range(0, len(payload), size))
    reader = MemberReader(pieces)
    with pytest.raises(SealError, match=refusal):
        assert reader.read(Member.SECRETS) == b"secrets"
        reader.finish()


def test_members_come_back_whatever_the_pieces_are():
    payload = _member(1, b"secrets") + _member(4, b"k" * 1000) + _member(5)
    for size in (1, 7, 64, 5000):
        pieces = (bytearray(payload[i : i + size]) for i in range(0, len(payload), size))
        reader, file = MemberReader(pieces), io.BytesIO()
        assert reader.read(Member.SECRETS) == b"secrets"
        reader.copy(Member.KEYSET, file)
        reader.finish()
        assert file.getvalue() == b"k" * 1000


def _payload_start(content):
    header = struct.unpack(">I", content[18:22])[0]
    stanzas = struct.unpack(">I", content[22 + header : 26 + header])[0]
    return 26 + header + stanzas + 64


def test_the_page_is_enough_to_read_a_backup(store):
    """A reader written from docs/backup-format.md alone."""
    keyset = primary(store, evaluation_keys=b"e" * 100_000)
    content = backed_up(store)
    header_length = struct.unpack(">I", content[18:22])[0]
    header = content[22 : 22 + header_length]
    assert content[:18] == b"blindfit backup\n\x00\x01"
    assert json.loads(header)["store"] == store._proven_key.hex()
    stanzas_at = 26 + header_length
    size = struct.unpack(">I", content[stanzas_at - 4 : stanzas_at])[0]
    (stanza,) = json.loads(content[stanzas_at : stanzas_at + size])
    data_key = bytes(BOB.unwrap(stanza))
    key = HKDF(SHA256(), 32, salt=None, info=b"blindfit backup v1 payload").derive(data_key)
    context = _sha256(content[: 22 + header_length])
    chunks = content[stanzas_at + size + 64 :]
    payload, number = b"", 0
    while chunks:
        piece, chunks = chunks[:65_552], chunks[65_552:]
        nonce = number.to_bytes(11, "big") + bytes([not chunks])
        payload += AESGCM(key).decrypt(nonce, piece, context)
        number += 1
    members = []
    while payload:
        kind, length = struct.unpack(">BQ", payload[:9])
        members.append((kind, payload[9 : 9 + length]))
        payload = payload[9 + length :]
    assert [kind for kind, _ in members] == [1, 2, 3, 4, 5]
    secrets, manifest, audit, sealed, end = (inner for _, inner in members)
    assert secrets[:32] == bytes(store._seed) and secrets[32:64].hex() == keyset.key_id
    assert len(secrets) == 96 and end == b""
    assert manifest == (store.root / "manifest.json").read_bytes()
    assert audit == (store.root / "audit.jsonl").read_bytes()
    assert sealed == (store.root / "keysets" / f"{keyset.key_id}.keyset").read_bytes()


def _sha256(content):
    return hashlib.sha256(content).digest()


@pytest.mark.parametrize(
    "every", [pytest.param(1, marks=pytest.mark.slow, id="all"), pytest.param(9, id="some")]
)
def test_a_crash_while_restoring_leaves_no_keys_or_all(store, home, every):
    keysets = [primary(store), add(store)]
    content = backed_up(store)

    def prepare():
        for path in home.iterdir():
            shutil.rmtree(path) if path.is_dir() else path.unlink()

    tried = 0
    for _ in kill_points(home, prepare, lambda: restored(home, content), every):
        tried += 1
        if KeyStore(home / "keys").exists:
            again = reopened(home / "keys", NEW)
        else:
            again = restored(home, content)
        for keyset in keysets:
            assert again.open(keyset.key_id).same_secret(keyset)
        assert not list(home.glob(".keys.restore-*"))
    assert tried >= 30 // every
