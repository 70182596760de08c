"""A store's first files.

The manifest is written before ``store.json``: it is the latter that makes a store, so a crash
between the two leaves none.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from blindfit.files import write_atomic
from keys.audit import START, AuditLog
from keys.inventory import Inventory
from keys.signatures import PrivateKey
from keys.store import AUDIT_FILE, MANIFEST_FILE, STORE_FILE
from keys.store_key import SEED_BYTES, lock_seed
from keys.store_manifest import encode_manifest

if TYPE_CHECKING:
    from keys.stanzas import Lock


def initialize(root: Path, lock: Lock) -> None:
    """A new store key under ``lock``, and an empty manifest; the caller holds the store's lock."""
    seed = bytearray(os.urandom(SEED_BYTES))
    store_file = lock_seed(seed, lock, ())
    head = AuditLog(root / AUDIT_FILE).append(
        [{"event": "store", "lock": lock.kind, "generation": 1}], after=START
    )
    manifest = encode_manifest(
        Inventory(generation=1, audit_head=head), PrivateKey.from_private_bytes(bytes(seed))
    )
    write_atomic(root / MANIFEST_FILE, manifest)
    write_atomic(root / STORE_FILE, store_file)


__all__ = ["initialize"]
