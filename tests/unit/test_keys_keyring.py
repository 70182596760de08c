from __future__ import annotations

import io

import keyring
import keyring.backends.chainer
import keyring.backends.fail
import keyring.backends.null
import pytest
from fixtures_keyring import MemoryKeyring, os_keyring
from fixtures_keys import make_keyset
from keyring.errors import KeyringLocked

from blindfit.errors import PassphraseError, SealError, UnavailableError
from keys.os_keyring import KeyringEntry
from keys.seal import seal, unseal

DATA_KEY = bytes(range(32))


@pytest.fixture
def backend():
    with os_keyring(MemoryKeyring()) as backend:
        yield backend


def test_a_store_opens_by_its_entry(backend):
    entry, keyset, file = KeyringEntry.create(), make_keyset(), io.BytesIO()
    seal(keyset, file, [entry])
    file.seek(0)
    assert unseal(file, entry, key_id=keyset.key_id).same_secret(keyset)


def test_the_keyring_holds_32_random_bytes_under_the_service(backend):
    one, two = KeyringEntry.create(), KeyringEntry.create()
    assert set(backend.entries) == {("blindfit", one.entry_id), ("blindfit", two.entry_id)}
    secrets = set(backend.entries.values())
    assert len(secrets) == 2 and {len(bytes.fromhex(secret)) for secret in secrets} == {32}


def test_the_stanza_names_its_entry_and_holds_no_secret(backend):
    entry = KeyringEntry.create()
    stanza = entry.wrap(DATA_KEY)
    assert KeyringEntry.of(stanza) == entry
    assert entry.unwrap(stanza) == DATA_KEY
    for secret in (*backend.entries.values(), DATA_KEY.hex()):
        assert secret not in str(stanza) + repr(entry)
    assert entry.wrap(DATA_KEY)["wrapped"] != stanza["wrapped"]


def test_another_entry_or_another_secret_does_not_open(backend):
    entry, other = KeyringEntry.create(), KeyringEntry.create()
    stanza = entry.wrap(DATA_KEY)
    with pytest.raises(PassphraseError, match="another entry"):
        other.unwrap(stanza)
    backend.entries["blindfit", entry.entry_id] = backend.entries["blindfit", other.entry_id]
    with pytest.raises(PassphraseError, match="does not open"):
        entry.unwrap(stanza)


@pytest.mark.parametrize("content", [None, "", "00", "zz" * 32])
def test_a_missing_secret_says_what_to_do(backend, content):
    entry = KeyringEntry.create()
    stanza = entry.wrap(DATA_KEY)
    backend.entries["blindfit", entry.entry_id] = content
    with pytest.raises(PassphraseError, match="no usable secret") as caught:
        entry.unwrap(stanza)
    assert "--recovery-key" in caught.value.hint


@pytest.mark.parametrize(
    "change", [{"entry": "00"}, {"entry": None}, {"salt": "00"}, {"wrapped": "zz"}, {"salt": 3}]
)
def test_malformed_stanzas_are_refused(backend, change):
    entry = KeyringEntry.create()
    stanza = {**entry.wrap(DATA_KEY), **change}
    with pytest.raises(SealError):
        entry.unwrap(stanza)


def test_a_deleted_entry_opens_nothing(backend):
    entry = KeyringEntry.create()
    stanza = entry.wrap(DATA_KEY)
    entry.delete()
    entry.delete()
    assert backend.entries == {}
    with pytest.raises(PassphraseError):
        entry.unwrap(stanza)


class PlaintextKeyring(MemoryKeyring):
    """What `keyrings.alt` would bring."""


PlaintextKeyring.__module__ = "keyrings.alt.file"


@pytest.mark.parametrize(
    "refused",
    [keyring.backends.fail.Keyring, keyring.backends.null.Keyring, PlaintextKeyring],
    ids=["fail", "null", "plaintext"],
)
def test_a_keyring_that_protects_nothing_is_refused(refused):
    with os_keyring(refused()), pytest.raises(UnavailableError, match="no OS keyring") as caught:
        KeyringEntry.create()
    assert "passphrase" in caught.value.hint


def test_a_chain_of_keyrings_is_not_followed_into_a_file(monkeypatch):
    good, plain = MemoryKeyring(), PlaintextKeyring()
    chain = keyring.backends.chainer.ChainerBackend
    monkeypatch.setattr(chain, "backends", [plain, good])
    with os_keyring(chain()):
        entry = KeyringEntry.create()
        assert entry.unwrap(entry.wrap(DATA_KEY)) == DATA_KEY
    assert len(good.entries) == 1 and plain.entries == {}


class LockedKeyring(MemoryKeyring):
    def get_password(self, service, username):
        raise KeyringLocked("secret words of the backend")


class ForgetfulKeyring(MemoryKeyring):
    def set_password(self, service, username, password):
        pass


def test_a_locked_keyring_is_told():
    with os_keyring(LockedKeyring()), pytest.raises(UnavailableError, match="KeyringLocked"):
        KeyringEntry.create()


def test_a_keyring_that_keeps_nothing_is_told():
    with os_keyring(ForgetfulKeyring()), pytest.raises(UnavailableError, match="did not keep"):
        KeyringEntry.create()


@pytest.mark.parametrize("name", ["", "..", "0" * 31, "G" * 32, "0" * 32 + "\n"])
def test_an_entry_has_a_plain_name(name):
    with pytest.raises(SealError):
        KeyringEntry(name)
