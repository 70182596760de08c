from __future__ import annotations

import pytest
from fixtures_keyring import MemoryKeyring, os_keyring
from fixtures_keys import PASSPHRASE
from fixtures_store import add, lock, new_store, primary, reopened

from blindfit.errors import AccessError, NotFoundError, PassphraseError
from keys.os_keyring import KeyringEntry
from keys.recovery import RecoveryKey
from keys.store import KeyStore
from keys.unlocking import loss_warning, unlock_store


def refuse() -> bytes:
    raise AssertionError("the passphrase was asked")


def test_a_store_that_a_passphrase_locks_asks_for_it(tmp_path):
    keyset = primary(new_store(tmp_path / "keys"))
    store = unlock_store(tmp_path, lambda: PASSPHRASE)
    assert store.open(keyset.key_id).same_secret(keyset)
    with pytest.raises(PassphraseError):
        unlock_store(tmp_path, lambda: b"wrong")


def test_a_store_is_made_only_when_that_is_meant(tmp_path):
    with pytest.raises(NotFoundError, match="no keys") as caught:
        unlock_store(tmp_path, refuse)
    assert "blindfit-keys create" in caught.value.hint
    store = unlock_store(tmp_path, lambda: PASSPHRASE, create=True)
    assert store.lock_kind() == "argon2id" and store.records() == []
    again = unlock_store(tmp_path, lambda: PASSPHRASE, create=True)
    assert again.fingerprint() == store.fingerprint()


def test_a_store_that_the_os_keyring_locks_asks_nothing(tmp_path):
    with os_keyring(MemoryKeyring()):
        keyset = primary(KeyStore(tmp_path / "keys").initialize(KeyringEntry.create()))
        store = unlock_store(tmp_path, refuse)
        assert store.lock_kind() == "keyring"
        assert store.open(keyset.key_id).same_secret(keyset)
        with pytest.raises(AccessError, match="locked by argon2id but by keyring"):
            reopened(tmp_path / "keys")


def test_a_passphrase_gives_way_to_the_os_keyring_and_back(tmp_path):
    store = new_store(tmp_path / "keys")
    keyset = add(store)
    with os_keyring(MemoryKeyring()):
        store.change_lock(KeyringEntry.create())
        by_keyring = unlock_store(tmp_path, refuse)
        assert by_keyring.open(keyset.key_id).same_secret(keyset)
        with pytest.raises(AccessError):
            reopened(tmp_path / "keys")
        later = add(by_keyring)
        by_keyring.change_lock(lock(b"again a passphrase"))
    again = reopened(tmp_path / "keys", b"again a passphrase")
    for kept in (keyset, later):
        assert again.open(kept.key_id).same_secret(kept)


def test_a_lost_entry_of_the_os_keyring_is_replaced_by_a_recovery_key(tmp_path):
    bob = RecoveryKey.generate()
    with os_keyring(MemoryKeyring()):
        store = KeyStore(tmp_path / "keys").initialize(KeyringEntry.create())
        keyset = primary(store)
        store.add_recipient("bob", bob.recipient)
    with os_keyring(MemoryKeyring()):
        with pytest.raises(PassphraseError, match="no usable secret"):
            unlock_store(tmp_path, refuse)
        KeyStore(tmp_path / "keys").unlock(bob).change_lock(lock())
    assert reopened(tmp_path / "keys").open(keyset.key_id).same_secret(keyset)


def test_the_warning_says_what_a_loss_would_cost(tmp_path):
    assert "ALL KEYS ARE LOST" in loss_warning(KeyStore(tmp_path / "keys"))
    store = new_store(tmp_path / "keys")
    assert "the passphrase: if it is lost, ALL KEYS ARE LOST" in loss_warning(store)
    store.add_recipient("bob", RecoveryKey.generate().recipient)
    warning = loss_warning(store)
    assert "bob" in warning and "--recovery-key" in warning and "LOST" not in warning
    with os_keyring(MemoryKeyring()):
        entry = KeyringEntry.create()
        assert "OS keyring" in loss_warning(KeyStore(tmp_path / "other").initialize(entry))
