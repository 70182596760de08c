from __future__ import annotations

import copy
import hashlib
import io
import pickle

import pytest
from fixtures_keys import make_keyset

from blindfit.errors import InputError, KeyStateError, SealError
from blindfit.key_id import KeyIdHash, compute_file_key_id, compute_key_id
from keys.access import SECRET_ACCESS, SecretAccess
from keys.keyset import Keyset
from keys.wiping import wipe

SECRET = b"the secret key bytes of a client"


def test_secret_bytes_need_the_token():
    keyset = make_keyset(SECRET)
    assert keyset.secret_bytes(SECRET_ACCESS) == SECRET
    for other in (None, True, SecretAccess()):
        with pytest.raises(TypeError):
            keyset.secret_bytes(other)
        with pytest.raises(TypeError):
            keyset.to_child(other)
        with pytest.raises(TypeError):
            keyset.secret_view(other)
        with pytest.raises(TypeError):
            Keyset(other, keyset.to_child(SECRET_ACCESS), b"")


@pytest.mark.parametrize("duplicate", [pickle.dumps, copy.copy, copy.deepcopy])
def test_it_is_not_pickled_or_copied(duplicate):
    with pytest.raises(TypeError, match="not pickled or copied"):
        duplicate(make_keyset(SECRET))


def test_printing_names_it_and_shows_no_secret():
    keyset = make_keyset(SECRET)
    assert repr(keyset) == f"<Keyset key_id={keyset.key_id} params_id={keyset.params_id}>"
    for text in (str(keyset), f"{keyset}", repr(keyset.description), repr([keyset])):
        assert SECRET.decode() not in text and SECRET.hex() not in text
    assert not hasattr(keyset, "__dict__")


def test_key_id_is_the_digest_of_salt_and_evaluation_keys():
    keyset = make_keyset(evaluation_keys=b"evaluation")
    assert keyset.key_id == hashlib.sha256(keyset.salt + b"evaluation").hexdigest()
    assert len(keyset.salt) == 16


def test_two_keysets_with_empty_evaluation_keys_differ_in_key_id():
    assert make_keyset().key_id != make_keyset().key_id


def test_same_secret_compares_the_secret_and_not_the_name():
    assert make_keyset(SECRET).same_secret(make_keyset(SECRET))
    assert not make_keyset(SECRET).same_secret(make_keyset())


def test_a_child_gets_the_secret_and_not_the_evaluation_keys():
    keyset = make_keyset(SECRET, b"evaluation")
    message = keyset.to_child(SECRET_ACCESS)
    assert b"evaluation" not in bytes(message).replace(b"evaluation_bytes", b"")
    child = Keyset.from_parent(bytes(message))
    assert child.description == keyset.description
    assert child.secret_bytes(SECRET_ACCESS) == SECRET
    with pytest.raises(KeyStateError, match="stayed in the parent"):
        child.evaluation_keys  # noqa: B018


def test_a_child_refuses_a_keyset_that_was_cut_or_changed():
    data = bytes(make_keyset(SECRET, b"evaluation").to_child(SECRET_ACCESS))
    for length in range(len(data)):
        with pytest.raises(SealError):
            Keyset.from_parent(data[:length])
    with pytest.raises(SealError):
        Keyset.from_parent(data + b"?")


def test_handing_on_copies_nothing():
    keyset = make_keyset(SECRET)
    message = keyset.to_child(SECRET_ACCESS)
    keyset.wipe()
    assert bytes(message[-len(SECRET) :]) == bytes(len(SECRET))


def test_wiping_overwrites_the_secret_where_it_is():
    keyset = make_keyset(SECRET, b"evaluation")
    view = keyset.secret_view(SECRET_ACCESS)
    assert view.readonly and view == SECRET
    keyset.wipe()
    keyset.wipe()
    assert view == bytes(len(SECRET))
    assert keyset.evaluation_keys == b"evaluation"
    for use in (keyset.secret_bytes, keyset.secret_view, keyset.to_child):
        with pytest.raises(KeyStateError, match="were wiped"):
            use(SECRET_ACCESS)


def test_a_with_block_wipes_even_when_it_fails():
    with pytest.raises(ZeroDivisionError), make_keyset(SECRET) as keyset:
        view = keyset.secret_view(SECRET_ACCESS)
        raise ZeroDivisionError
    assert view == bytes(len(SECRET))


def test_what_a_child_got_is_wiped_when_it_can_be():
    data = bytearray(make_keyset(SECRET).to_child(SECRET_ACCESS))
    Keyset.from_parent(data).wipe()
    assert data == bytes(len(data))
    Keyset.from_parent(bytes(make_keyset(SECRET).to_child(SECRET_ACCESS))).wipe()


@pytest.mark.parametrize("size", [0, 1, 65536, 65537, 200_000])
def test_wipe_leaves_only_zeros(size):
    secret = bytearray(b"x" * size)
    wipe(secret)
    assert secret == bytes(size)


def test_one_formula_for_the_key_id():
    salt, keys = bytes(range(16)), bytes(3 << 20) + b"end"
    expected = hashlib.sha256(salt + keys).hexdigest()
    running = KeyIdHash(salt)
    for start in range(0, len(keys), 1_000_003):
        running.update(keys[start : start + 1_000_003])
    assert compute_key_id(salt, keys) == expected
    assert running.key_id() == expected
    assert compute_file_key_id(salt, io.BytesIO(keys)) == expected
    for length in (0, 15, 17):
        with pytest.raises(InputError, match="16 bytes"):
            compute_key_id(bytes(length), b"")
