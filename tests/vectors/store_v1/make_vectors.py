"""Wrote the frozen ``store.json`` and ``manifest.json``, version 1: never overwrites one.

It stays as the record of how they came to be, and as the start for the next version's.
"""

from __future__ import annotations

import json
import tempfile
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

from keys.access import SECRET_ACCESS
from keys.keyset import Keyset
from keys.recovery import RecoveryKey
from keys.stanzas import Argon2Cost, Passphrase
from keys.states import KeyState
from keys.store import KeyStore

HERE = Path(__file__).parent
PASSPHRASE = "correct horse battery staple"
RECOVERY = "07" * 32


def write_new(name: str, content: bytes) -> None:
    """Raises FileExistsError rather than change a frozen vector."""
    with (HERE / name).open("xb") as file:
        file.write(content)


def keyset(secret: bytes) -> Keyset:
    return Keyset.from_raw(
        SECRET_ACCESS,
        secret=secret,
        evaluation_keys=b"",
        params_id="ab" * 32,
        model_digest="cd" * 32,
    )


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "keys"
        lock = Passphrase(PASSPHRASE.encode(), Argon2Cost(8192, 1, 1))
        store = KeyStore(root).initialize(lock)
        store.add_recipient("bob", RecoveryKey(bytes.fromhex(RECOVERY)).recipient)
        made = [keyset(bytes([number]) * 32) for number in range(4)]
        for one in made:
            store.create(one, model="digits")
        store.promote("digits", made[0].key_id)
        store.promote("digits", made[1].key_id)
        store.schedule_destruction(made[0].key_id, datetime(2100, 1, 1, tzinfo=UTC))
        store.transition(made[2].key_id, KeyState.COMPROMISED)
        store.destroy(made[2].key_id)
        for name in ("store.json", "manifest.json"):
            write_new(name, (root / name).read_bytes())
        document = {
            "version": 1,
            "passphrase": PASSPHRASE,
            "recovery": RECOVERY,
            "seed": bytes(store._seed).hex(),
            "fingerprint": store.fingerprint(),
            "records": [asdict(record) for record in store.records()],
            "primaries": store.primaries(),
            "recipients": dict(store.recipients()),
        }
    write_new("vectors.json", json.dumps(document, indent=1).encode() + b"\n")


if __name__ == "__main__":
    main()
