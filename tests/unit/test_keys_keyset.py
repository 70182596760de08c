from __future__ import annotations

import copy
import hashlib
import pickle

import pytest
from fixtures_keys import make_keyset

from blindfit.errors import SealError
from keys.access import SECRET_ACCESS, SecretAccess
from keys.keyset import Keyset

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
            Keyset(other, keyset.description, SECRET, b"")


@pytest.mark.parametrize("duplicate", [pickle.dumps, copy.copy, copy.deepcopy])
def test_it_is_not_pickled_or_copied(duplicate):
    with pytest.raises(TypeError, match="not pickled"):
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


def test_a_child_gets_the_same_keyset():
    keyset = make_keyset(SECRET, b"evaluation")
    child = Keyset.from_parent(keyset.to_child(SECRET_ACCESS))
    assert child.description == keyset.description
    assert child.secret_bytes(SECRET_ACCESS) == SECRET
    assert child.evaluation_keys == b"evaluation"


def test_a_child_refuses_a_keyset_that_was_cut_or_changed():
    data = make_keyset(SECRET, b"evaluation").to_child(SECRET_ACCESS)
    for length in range(len(data)):
        with pytest.raises(SealError):
            Keyset.from_parent(data[:length])
    with pytest.raises(SealError):
        Keyset.from_parent(data[:-1] + b"?")
