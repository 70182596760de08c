"""The frozen vectors of the sealed file format, read by us and by a reader made from the docs."""

from __future__ import annotations

import hashlib
import io
import json
import subprocess
import sys
from pathlib import Path

import documented_reader
import pytest
from fixtures_keyring import MemoryKeyring, os_keyring

from blindfit.errors import BlindfitError
from keys.access import SECRET_ACCESS
from keys.envelope import KEYSET, read_envelope
from keys.os_keyring import KeyringEntry
from keys.recovery import RecoveryKey, RecoveryRecipient
from keys.seal import unseal
from keys.stanzas import Opener, Passphrase

ROOT = Path(__file__).parents[2]
VECTORS = ROOT / "tests" / "vectors"
PLAIN, RECIPIENTS = VECTORS / "keyset_v1", VECTORS / "keyset_v1_recipients"
FROZEN = {
    PLAIN: "db4523baf8cb3b982d619f9408635c838577294d1188cf7d20b7e44119ec7eac",
    RECIPIENTS: "d14d39a7b4c1acfaad3a76ea50a784545f22a28fb86cd462ac28e6f00c817113",
}


def entries(kind: str):
    for folder in FROZEN:
        document = json.loads((folder / "vectors.json").read_text())
        for entry in document[kind]:
            name = f"{folder.name}/{entry.get('name', entry['file'])}/{entry.get('opener', '')}"
            yield pytest.param(folder, document, entry, id=name)


def read(folder: Path, vector) -> bytes:
    content = bytearray((folder / vector["file"]).read_bytes())
    for name, value in vector.get("edit", {}).items():
        if name == "flip":
            content[value] ^= 1
        elif name == "cut":
            del content[value:]
        elif name == "append":
            content += bytes.fromhex(value)
        elif name == "swap":
            a, b, size = value
            content[a : a + size], content[b : b + size] = (
                content[b : b + size],
                content[a : a + size],
            )
        elif name == "tail_of":
            content[-value[1] :] = (folder / value[0]).read_bytes()[-value[1] :]
        else:
            raise ValueError(name)
    return bytes(content)


def opener(document, vector) -> Opener:
    name = vector.get("opener", "passphrase")
    if name == "passphrase":
        return Passphrase(vector.get("passphrase", document["passphrase"]).encode())
    if name == "keyring":
        return KeyringEntry(document["keyring"]["entry"])
    return RecoveryKey(bytes.fromhex(document[name]["secret"]))


def documented(document, vector) -> tuple[str, documented_reader.Unwrap]:
    name = vector.get("opener", "passphrase")
    if name == "passphrase":
        return "argon2id", documented_reader.passphrase(document["passphrase"].encode())
    if name == "keyring":
        return "keyring", documented_reader.keyring(document["keyring"]["secret"])
    secret = bytes.fromhex(document[name]["secret"])
    return "x25519-hpke", documented_reader.recovery(secret)


@pytest.fixture(autouse=True)
def keyring_of_the_vectors():
    known = json.loads((RECIPIENTS / "vectors.json").read_text())["keyring"]
    with os_keyring(MemoryKeyring({("blindfit", known["entry"]): known["secret"]})):
        yield


@pytest.mark.parametrize(("folder", "document", "vector"), entries("good"))
def test_good_vectors_open(folder, document, vector):
    content = io.BytesIO(read(folder, vector))
    keyset = unseal(content, opener(document, vector), key_id=vector["key_id"])
    secret = keyset.secret_bytes(SECRET_ACCESS)
    assert hashlib.sha256(secret).hexdigest() == vector["secret_sha256"]
    assert hashlib.sha256(keyset.evaluation_keys).hexdigest() == vector["evaluation_sha256"]


@pytest.mark.parametrize(("folder", "document", "vector"), entries("bad"))
def test_bad_vectors_fail_as_expected(folder, document, vector):
    content = io.BytesIO(read(folder, vector))
    with pytest.raises(BlindfitError) as caught:
        unseal(content, opener(document, vector), key_id=vector["key_id"])
    assert caught.value.reason == vector["error"]


@pytest.mark.parametrize(("folder", "document", "vector"), entries("good"))
def test_a_reader_written_from_the_documentation_agrees(folder, document, vector):
    secret, evaluation = documented_reader.read(read(folder, vector), *documented(document, vector))
    assert hashlib.sha256(secret).hexdigest() == vector["secret_sha256"]
    assert hashlib.sha256(evaluation).hexdigest() == vector["evaluation_sha256"]


@pytest.mark.parametrize(("folder", "document", "vector"), entries("good"))
def test_the_documentation_names_every_member(folder, document, vector):
    page = (ROOT / "docs" / "keyset-format.md").read_text()
    envelope = read_envelope(io.BytesIO(read(folder, vector)), KEYSET)
    for part in (json.loads(envelope.header), *envelope.stanzas):
        assert all(f"| `{name}` |" in page for name in set(part) - {"kind"})
    assert all(f"### `{stanza['kind']}`:" in page for stanza in envelope.stanzas)


def test_recipients_keep_their_text():
    document = json.loads((RECIPIENTS / "vectors.json").read_text())
    for name in ("recovery", "stranger"):
        recipient = opener(document, {"opener": name}).recipient
        assert str(recipient) == document[name]["recipient"]
        assert RecoveryRecipient.parse(document[name]["recipient"]) == recipient


@pytest.mark.parametrize("folder", FROZEN, ids=lambda folder: folder.name)
def test_the_vectors_are_frozen(folder):
    digest = hashlib.sha256()
    for path in sorted([*folder.glob("*.keyset"), folder / "vectors.json"]):
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
