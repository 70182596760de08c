from __future__ import annotations

import io
import os
import stat
import string

import pytest
from fixtures_keys import CHEAP, PASSPHRASE, make_keyset

from blindfit.errors import AccessError, InputError, PassphraseError, SealError
from keys.recovery import RecoveryKey, RecoveryRecipient
from keys.recovery_text import encode_key
from keys.seal import open_data_key, rewrap, seal, unseal
from keys.stanzas import Passphrase

DATA_KEY = bytes(range(32))


@pytest.fixture
def key() -> RecoveryKey:
    return RecoveryKey.generate()


def test_only_the_private_half_opens(key):
    stanza = key.recipient.wrap(DATA_KEY)
    assert key.unwrap(stanza) == DATA_KEY
    assert DATA_KEY.hex() not in str(stanza)
    with pytest.raises(PassphraseError, match="this recovery key"):
        RecoveryKey.generate().unwrap(stanza)


def test_every_stanza_is_fresh(key):
    one, two = key.wrap(DATA_KEY), key.wrap(DATA_KEY)
    assert one["encapsulated"] != two["encapsulated"] and one["wrapped"] != two["wrapped"]


@pytest.mark.parametrize("name", ["encapsulated", "wrapped", "recipient"])
def test_every_flipped_bit_of_a_stanza_is_refused(key, name):
    stanza = key.wrap(DATA_KEY)
    content = bytes.fromhex(stanza[name])
    for bit in range(8 * len(content)):
        flipped = bytearray(content)
        flipped[bit // 8] ^= 1 << (bit % 8)
        with pytest.raises(PassphraseError):
            key.unwrap({**stanza, name: flipped.hex()})


@pytest.mark.parametrize(
    "change",
    [
        {"encapsulated": "00"},
        {"encapsulated": None},
        {"encapsulated": "zz" * 32},
        {"wrapped": "00" * 47},
        {"wrapped": 7},
        {"recipient": ["00"]},
    ],
)
def test_malformed_stanzas_are_refused(key, change):
    with pytest.raises(SealError):
        key.unwrap({**key.wrap(DATA_KEY), **change})


def test_a_point_of_small_order_cannot_stand_in_for_the_sender(key):
    with pytest.raises(PassphraseError):
        key.unwrap({**key.wrap(DATA_KEY), "encapsulated": "00" * 32})


def test_the_text_of_a_recipient_leads_back_to_it(key):
    text = str(key.recipient)
    assert RecoveryRecipient.parse(text) == key.recipient
    assert RecoveryRecipient.parse(f"  {text.upper()}\n") == key.recipient


def test_every_typing_error_is_refused(key):
    text = str(key.recipient)
    alphabet = string.ascii_lowercase + string.digits + "-=ß"
    wrong = {text[:i] + c + text[i + 1 :] for i in range(len(text)) for c in alphabet}
    wrong |= {text[:i] + text[i + 1 :] for i in range(len(text))}
    wrong |= {text[:i] + text[i + 1] + text[i] + text[i + 2 :] for i in range(len(text) - 1)}
    wrong |= {"", "blindfit-recovery-", text + "a", text + "=" * 8, text[18:], "x" * 100_000}
    for other in wrong - {text}:
        with pytest.raises(InputError):
            RecoveryRecipient.parse(other)


@pytest.mark.parametrize("public", [bytes(32), b"\1" + bytes(31)])
def test_a_weak_public_key_is_refused(public):
    with pytest.raises(InputError, match="not a usable"):
        RecoveryRecipient.parse(encode_key("blindfit-recovery-", public))
    with pytest.raises(InputError, match="not a usable"):
        RecoveryRecipient(public).wrap(DATA_KEY)


def test_a_private_key_is_no_recipient_and_does_not_appear_in_the_message(key, tmp_path):
    key.write(tmp_path / "key")
    private = (tmp_path / "key").read_text().splitlines()[-1]
    with pytest.raises(InputError) as caught:
        RecoveryRecipient.parse(private)
    assert private[-64:] not in str(caught.value) + caught.value.hint


def test_the_file_of_a_key_is_private_and_says_what_it_is(key, tmp_path):
    path = tmp_path / "recovery.key"
    key.write(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    comment, public, warning, private = path.read_text().splitlines()
    assert comment.startswith("# A recovery key of Blindfit") and str(key.recipient) in public
    assert warning.startswith("#") and not private.startswith("#")
    assert RecoveryKey.read(path) == key
    with pytest.raises(FileExistsError):
        RecoveryKey.generate().write(path)
    assert RecoveryKey.read(path) == key


def test_a_key_file_that_others_may_read_is_refused(key, tmp_path):
    path = tmp_path / "recovery.key"
    key.write(path)
    (tmp_path / "link").symlink_to(path)
    with pytest.raises(AccessError, match="symbolic link"):
        RecoveryKey.read(tmp_path / "link")
    path.chmod(0o640)
    with pytest.raises(AccessError, match="used by others"):
        RecoveryKey.read(path)


@pytest.mark.parametrize(
    "content", [b"", b"# only a comment\n", b"\xff\xfe", b"a\nb\n", b"a" * 5000, b"no key\n"]
)
def test_another_file_is_no_key(content, tmp_path):
    path = tmp_path / "key"
    path.write_bytes(content)
    path.chmod(0o600)
    with pytest.raises(InputError):
        RecoveryKey.read(path)


def test_every_typing_error_in_the_private_key_is_refused(key, tmp_path):
    key.write(tmp_path / "key")
    private = (tmp_path / "key").read_text().splitlines()[-1]
    for position in range(0, len(private), 5):
        other = "a" if private[position] != "a" else "b"
        path = tmp_path / str(position)
        path.write_text(private[:position] + other + private[position + 1 :])
        path.chmod(0o600)
        with pytest.raises(InputError) as caught:
            RecoveryKey.read(path)
        assert private[-30:] not in str(caught.value)


def rewrapped(content: bytes, opener, recipients) -> bytes:
    target = io.BytesIO()
    data_key = open_data_key(io.BytesIO(content), opener)
    rewrap(io.BytesIO(content), target, data_key, recipients)
    return target.getvalue()


def sealed_for(keyset, *recipients) -> bytes:
    file = io.BytesIO()
    seal(keyset, file, recipients)
    return file.getvalue()


def opened(content: bytes, keyset, opener):
    return unseal(io.BytesIO(content), opener, key_id=keyset.key_id)


def test_a_lost_passphrase_is_replaced_by_the_recovery_key(key):
    keyset = make_keyset(os.urandom(100), os.urandom(100_000))
    old = sealed_for(keyset, Passphrase(PASSPHRASE, CHEAP), key.recipient)
    new = rewrapped(old, key, [Passphrase(b"new", CHEAP), key.recipient])
    for opener in (Passphrase(b"new"), key):
        assert opened(new, keyset, opener).same_secret(keyset)
    with pytest.raises(PassphraseError):
        opened(new, keyset, Passphrase(PASSPHRASE))
    assert opened(old, keyset, Passphrase(PASSPHRASE)).same_secret(keyset)  # an old copy


def test_rewrapping_leaves_header_and_payload_as_they_are(key):
    keyset = make_keyset(os.urandom(100), os.urandom(200_000))
    old = sealed_for(keyset, key)
    new = rewrapped(old, key, [key, RecoveryKey.generate().recipient])
    assert new[-200_100:] == old[-200_100:] and len(new) > len(old)
    assert opened(new, keyset, key).evaluation_keys == keyset.evaluation_keys


def test_rewrapping_needs_the_files_own_data_key(key):
    content = sealed_for(make_keyset(), key)
    with pytest.raises(SealError, match="changed after it was sealed"):
        rewrap(io.BytesIO(content), io.BytesIO(), bytes(32), [key])


def test_sealing_takes_1_to_20_recipients(key):
    keyset = make_keyset()
    assert opened(sealed_for(keyset, *[key] * 20), keyset, key).same_secret(keyset)
    for count in (0, 21):
        with pytest.raises(InputError, match="1 to 20"):
            sealed_for(keyset, *[key.recipient] * count)


def test_what_was_not_sealed_for_recovery_says_how_it_opens(key):
    keyset = make_keyset()
    with pytest.raises(SealError, match="not sealed for x25519-hpke") as caught:
        opened(sealed_for(keyset, Passphrase(PASSPHRASE, CHEAP)), keyset, key)
    assert "argon2id" in caught.value.hint


def test_a_secret_key_in_place_of_a_public_one_is_named_so_and_not_shown(tmp_path):
    RecoveryKey.generate().write(tmp_path / "recovery.key")
    secret = (tmp_path / "recovery.key").read_text().splitlines()[-1]
    with pytest.raises(InputError, match="SECRET recovery key") as refused:
        RecoveryRecipient.parse(secret)
    assert secret not in str(refused.value) + refused.value.hint
