"""Key stores with cheap passphrases, for tests of `keys`."""

from __future__ import annotations

from pathlib import Path

from fixtures_keys import CHEAP, PASSPHRASE, make_keyset

from keys.keyset import Keyset
from keys.stanzas import Passphrase
from keys.store import KeyStore
from keys.unlocked_store import UnlockedStore


def lock(passphrase: bytes = PASSPHRASE) -> Passphrase:
    return Passphrase(passphrase, CHEAP)


def new_store(root: Path, passphrase: bytes = PASSPHRASE) -> UnlockedStore:
    return KeyStore(root).initialize(lock(passphrase))


def reopened(root: Path, passphrase: bytes = PASSPHRASE) -> UnlockedStore:
    return KeyStore(root).unlock(lock(passphrase))


def add(store: UnlockedStore, model: str = "digits", **kwargs) -> Keyset:
    keyset = make_keyset(**kwargs)
    store.create(keyset, model=model)
    return keyset


def primary(store: UnlockedStore, model: str = "digits", **kwargs) -> Keyset:
    keyset = add(store, model, **kwargs)
    store.promote(model, keyset.key_id)
    return keyset
