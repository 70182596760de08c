"""A model whose key was set aside: the advice brings it back, and no new key takes its place."""

from __future__ import annotations

import pytest
from fixtures_rotation import make_bundle, make_means

from blindfit.errors import KeyStateError, NotFoundError
from keys.rotation import create_key, rotate
from keys.sharing import share_key
from keys.states import KeyState
from keys.without_key import advise


@pytest.fixture
def means(tmp_path):
    return make_means(tmp_path)


def test_a_model_that_never_had_a_key_is_told_to_create_one(means):
    assert advise(means.store, "digits").hint == "run `blindfit-keys create --model digits`"


def test_a_suspended_key_is_brought_back_and_not_replaced(means):
    key = create_key(means)
    means.store.transition(key.key_id, KeyState.SUSPENDED)
    advice = advise(means.store, "digits")
    assert advice.what == f"key {key.key_id[:12]} of digits is SUSPENDED"
    assert f"suspend {key.key_id[:12]} --lift" in advice.hint
    with pytest.raises(NotFoundError, match="SUSPENDED"):
        rotate(means)
    with pytest.raises(KeyStateError, match="would replace it for good"):
        share_key(means.store, make_bundle())
    means.store.transition(key.key_id, KeyState.DEACTIVATED)
    assert share_key(means.store, make_bundle()) is None


def test_a_compromised_key_is_replaced_by_its_own_command(means):
    key = create_key(means)
    means.store.transition(key.key_id, KeyState.COMPROMISED)
    assert f"compromised {key.key_id[:12]}" in advise(means.store, "digits").hint


def test_an_older_key_that_was_set_aside_is_no_reason_once_there_was_another(means):
    create_key(means)
    rotated = rotate(means)
    means.store.transition(rotated.new.key_id, KeyState.DEACTIVATED)
    assert "create --model digits" in advise(means.store, "digits").hint
