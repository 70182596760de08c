"""The frozen vectors of the backup format, and of a store's signed files."""

from __future__ import annotations

import hashlib
import io
import json
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

import pytest
from fixtures_store import lock

from blindfit.errors import BlindfitError, IntegrityError
from blindfit.signing import fingerprint
from keys.access import SECRET_ACCESS
from keys.recovery import RecoveryKey
from keys.restoring import restore_backup
from keys.signatures import PrivateKey, public_bytes
from keys.stanzas import Passphrase
from keys.store_key import decode_store_file, open_seed
from keys.store_manifest import decode_manifest, encode_manifest

ROOT = Path(__file__).parents[2]
BACKUPS, STORE = ROOT / "tests" / "vectors" / "backup_v1", ROOT / "tests" / "vectors" / "store_v1"
FROZEN = {
    BACKUPS: "ce9685c07919e985d8ef9894c6d611b030f8d82e06b52a05e05fa742301a44af",
    STORE: "c3073c5846e25ff84af0a4878dacd1b8165476798f5553334d44ac040c588242",
}
KNOWN = json.loads((BACKUPS / "vectors.json").read_text())


def content_of(vector):
    content = bytearray((BACKUPS / vector["file"]).read_bytes())
    edit = vector.get("edit", {})
    if "flip" in edit:
        content[edit["flip"]] ^= 1
    if "cut" in edit:
        del content[edit["cut"] :]
    return io.BytesIO(content + bytes.fromhex(edit.get("append", "")))


def opener_of(vector):
    return RecoveryKey(bytes.fromhex(KNOWN["recovery_keys"][vector["opener"]]))


def restored(home, vector):
    opener = opener_of(vector)
    return restore_backup(home, content_of(vector), opener, lock(), confirm=print)


@pytest.mark.parametrize("vector", KNOWN["good"], ids=lambda v: f"{v['file']}-{v['opener']}")
def test_good_backups_restore_what_they_hold(vector, tmp_path):
    store = restored(tmp_path / "home", vector)
    assert store.fingerprint() == vector["fingerprint"]
    assert {record.key_id: record.state for record in store.records()} == vector["states"]
    assert store.primaries() == vector["primaries"]
    for key_id, digest in vector["secrets"].items():
        secret = store.open(key_id).secret_bytes(SECRET_ACCESS)
        assert hashlib.sha256(secret).hexdigest() == digest


@pytest.mark.parametrize("vector", KNOWN["bad"], ids=lambda vector: vector["name"])
def test_bad_backups_fail_as_expected_and_restore_nothing(vector, tmp_path):
    home = tmp_path / "home"
    with pytest.raises(BlindfitError) as caught:
        restored(home, vector)
    assert caught.value.reason == vector["error"]
    assert not (home / "keys").exists()


@pytest.fixture
def known():
    return json.loads((STORE / "vectors.json").read_text())


@pytest.fixture
def store_file():
    return decode_store_file((STORE / "store.json").read_bytes())


def test_a_frozen_store_file_opens_by_its_lock_and_its_recovery_key(known, store_file):
    openers = [
        Passphrase(known["passphrase"].encode()),
        RecoveryKey(bytes.fromhex(known["recovery"])),
    ]
    for opener in openers:
        assert open_seed(store_file, opener).hex() == known["seed"]
    assert fingerprint(store_file.public_key) == known["fingerprint"]


def test_a_frozen_manifest_reads_and_is_written_as_it_was(known, store_file):
    content = (STORE / "manifest.json").read_bytes()
    inventory = decode_manifest(content, store_file.public_key)
    records = [asdict(record) for record in inventory.records.values()]
    assert json.loads(json.dumps(records)) == known["records"]
    assert dict(inventory.primary) == known["primaries"]
    assert dict(inventory.recipients) == known["recipients"]
    key = PrivateKey.from_private_bytes(bytes.fromhex(known["seed"]))
    assert public_bytes(key) == store_file.public_key
    assert encode_manifest(inventory, key) == content


@pytest.mark.parametrize("name", ["store.json", "manifest.json"])
def test_a_frozen_file_with_a_changed_digit_is_refused(store_file, name):
    content = (STORE / name).read_bytes()
    assert content.count(b'"version":1') + content.count(b'"version": 1') == 1
    for changed in (
        content.replace(b"a", b"b", 1),
        content.replace(b'"version"', b'"versio"'),
        content[:-20],
        content.replace(b"7", b"8", 1),
    ):
        assert changed != content
        with pytest.raises(IntegrityError):
            if name == "store.json":
                decode_store_file(changed)
            else:
                decode_manifest(changed, store_file.public_key)


@pytest.mark.parametrize("folder", FROZEN, ids=lambda folder: folder.name)
def test_the_vectors_are_frozen(folder):
    digest = hashlib.sha256()
    for path in sorted(path for path in folder.iterdir() if path.suffix in {".backup", ".json"}):
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    assert digest.hexdigest() == FROZEN[folder]


@pytest.mark.parametrize("folder", FROZEN, ids=lambda folder: folder.name)
def test_the_generators_overwrite_nothing(folder):
    finished = subprocess.run(
        [sys.executable, folder / "make_vectors.py"],
        capture_output=True,
        text=True,
        env={"PYTHONPATH": str(ROOT)},
    )
    assert finished.returncode != 0 and "FileExistsError" in finished.stderr
