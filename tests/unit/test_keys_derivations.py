"""A passphrase's derivation is slow on purpose: how often a keyset costs one."""

from __future__ import annotations

import io

import pytest
from fixtures_store import add, lock, new_store

from keys.recovery import RecoveryKey
from keys.store import KeyStore

BOB = RecoveryKey.generate().recipient


class Counting:
    """A passphrase that counts."""

    def __init__(self):
        self._lock, self.kind = lock(), lock().kind
        self.wrapped = self.unwrapped = 0

    def wrap(self, data_key):
        self.wrapped += 1
        return self._lock.wrap(data_key)

    def unwrap(self, stanza):
        self.unwrapped += 1
        return self._lock.unwrap(stanza)


@pytest.fixture
def counting():
    return Counting()


@pytest.fixture
def store(tmp_path, counting):
    store = new_store(tmp_path / "keys")
    for _ in range(3):
        add(store)
    store = KeyStore(store.root).unlock(counting)
    assert (counting.unwrapped, counting.wrapped) == (1, 0)
    return store


def test_a_backup_derives_once_for_each_keyset(store, counting):
    store.back_up(io.BytesIO(), [BOB])
    assert (counting.unwrapped, counting.wrapped) == (1 + 3, 0)


def test_another_recipient_costs_each_keyset_one_opening_and_one_new_stanza(store, counting):
    store.add_recipient("bob", BOB)
    assert (counting.unwrapped, counting.wrapped) == (1 + 3, 3)


def test_another_lock_opens_each_keyset_once_by_the_old_one(store, counting):
    store.change_lock(lock(b"new"))
    assert (counting.unwrapped, counting.wrapped) == (1 + 3, 0)
