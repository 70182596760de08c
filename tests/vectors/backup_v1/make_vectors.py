"""Wrote the frozen vectors of backup format version 1: it makes files and never overwrites one.

It stays as the record of how they came to be, and as the start for the next version's.
"""

from __future__ import annotations

import hashlib
import io
import json
import tempfile
from pathlib import Path

from keys.access import SECRET_ACCESS
from keys.backup_header import BACKUP
from keys.envelope import read_envelope
from keys.keyset import Keyset
from keys.recovery import RecoveryKey
from keys.stanzas import Argon2Cost, Passphrase
from keys.store import KeyStore
from keys.unlocked_store import UnlockedStore

HERE = Path(__file__).parent
SECRETS = {
    name: hashlib.sha256(name.encode()).digest() for name in ("recovery", "second", "stranger")
}
KEYS = {name: RecoveryKey(secret) for name, secret in SECRETS.items()}


def write_new(name: str, content: bytes) -> None:
    """Raises FileExistsError rather than change a frozen vector."""
    with (HERE / name).open("xb") as file:
        file.write(content)


def keyset(secret: int, evaluation: int) -> Keyset:
    return Keyset.from_raw(
        SECRET_ACCESS,
        secret=hashlib.shake_256(b"secret").digest(secret),
        evaluation_keys=hashlib.shake_256(b"evaluation").digest(evaluation),
        params_id="ab" * 32,
        model_digest="cd" * 32,
    )


def write_good(name: str, store: UnlockedStore, kept: list[Keyset], *names: str) -> list[dict]:
    file = io.BytesIO()
    store.back_up(file, [KEYS[name].recipient for name in names])
    write_new(name, file.getvalue())
    described = {
        "file": name,
        "fingerprint": store.fingerprint(),
        "states": {record.key_id: record.state for record in store.records()},
        "primaries": store.primaries(),
        "secrets": {
            made.key_id: hashlib.sha256(made.secret_bytes(SECRET_ACCESS)).hexdigest()
            for made in kept
        },
    }
    return [{**described, "opener": name} for name in names]


def write_forged(name: str, base: str, old: bytes, new: bytes) -> None:
    """What somebody without the data key can do: change the head and repair its checksum."""
    content = (HERE / base).read_bytes()
    envelope = read_envelope(io.BytesIO(content), BACKUP)
    covered = envelope.covered[:-32].replace(old, new)
    assert covered != envelope.covered[:-32] and len(old) == len(new)
    rest = content[len(envelope.covered) :]
    write_new(name, covered + hashlib.sha256(covered).digest() + rest)


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "keys"
        lock = Passphrase(b"of the old machine", Argon2Cost(8192, 1, 1))
        store = KeyStore(root).initialize(lock)
        good = write_good("empty.backup", store, [], "recovery")
        kept = [keyset(70_000, 61_100), keyset(100, 64)]
        for made in kept:
            store.create(made, model="digits")
            store.promote("digits", made.key_id)
        good += write_good("two_keysets.backup", store, kept, "recovery", "second")
        store.destroy(kept[0].key_id)
        good += write_good("tombstone.backup", store, kept[1:], "recovery")
    write_forged("forged_created.backup", "empty.backup", b'"created":"2', b'"created":"3')
    write_forged(
        "forged_kind.backup", "empty.backup", b'"kind":"x25519-hpke"', b'"kind":"x25519-hpkf"'
    )
    length = (HERE / "empty.backup").stat().st_size
    payload = len(_head("empty.backup")) + 32
    bad = [
        _edit("magic", "empty.backup", {"flip": 0}),
        _edit("version", "empty.backup", {"flip": 17}),
        _edit("header length", "empty.backup", {"flip": 21}),
        _edit("header", "empty.backup", {"flip": 40}),
        _edit("checksum", "empty.backup", {"flip": payload - 33}),
        _edit("mac", "empty.backup", {"flip": payload - 1}),
        _edit("payload", "empty.backup", {"flip": payload}),
        _edit("tag", "empty.backup", {"flip": length - 1}),
        _edit("empty", "empty.backup", {"cut": 0}),
        _edit("cut in the header", "empty.backup", {"cut": 100}),
        _edit("cut before the payload", "empty.backup", {"cut": payload}),
        _edit("cut in the payload", "empty.backup", {"cut": length - 1}),
        _edit("last chunk missing", "two_keysets.backup", {"cut": _chunks("two_keysets.backup")}),
        _edit("appended", "empty.backup", {"append": "00"}),
        _edit("forged created", "forged_created.backup", {}),
        _edit("forged kind", "forged_kind.backup", {}),
        {**_edit("stranger", "empty.backup", {}, "WRONG_PASSPHRASE"), "opener": "stranger"},
    ]
    document = {
        "version": 1,
        "recovery_keys": {name: secret.hex() for name, secret in SECRETS.items()},
        "good": good,
        "bad": bad,
    }
    write_new("vectors.json", json.dumps(document, indent=1).encode() + b"\n")


def _edit(
    name: str, file: str, edit: dict[str, object], error: str = "TAMPERED_KEYSET"
) -> dict[str, object]:
    return {"name": name, "file": file, "edit": edit, "error": error, "opener": "recovery"}


def _head(name: str) -> bytes:
    return read_envelope(io.BytesIO((HERE / name).read_bytes()), BACKUP).covered


def _chunks(name: str) -> int:
    """Where the last chunk begins."""
    start, size = len(_head(name)) + 32, (HERE / name).stat().st_size
    return start + (size - start) // 65_552 * 65_552


if __name__ == "__main__":
    main()
