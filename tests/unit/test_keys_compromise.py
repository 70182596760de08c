from __future__ import annotations

from dataclasses import replace

import pytest
from fixtures_keys import make_keyset
from fixtures_rotation import (
    OTHER_PARAMS,
    StoppedError,
    make_bundle,
    make_means,
    open_store,
    states,
    stop_at,
)

from blindfit.errors import AccessError, KeyStateError, PassphraseError, UnavailableError
from keys.compromise import contain, mark, refuse, replace_key, what_stays_readable
from keys.in_use import using
from keys.journal import Kind
from keys.journals import Journals
from keys.rotation import create_key, revoke, rotate
from keys.rotation_steps import STEPS
from keys.sharing import share_key
from keys.states import KeyState


@pytest.fixture
def means(tmp_path):
    return make_means(tmp_path)


def compromise(means, key_id, report=lambda step: None):
    """What the command does."""
    _, contained = contain(means.server, means.store.record(key_id), lambda: means.store)
    return contained, replace_key(means, contained, report) if contained.models else None


def test_the_server_refuses_it_before_it_is_marked_and_replaced(means):
    old = create_key(means)
    share_key(means.store, make_bundle("health"))
    means.server.calls.clear()
    contained, new = compromise(means, old.key_id)
    assert means.server.calls == ["revoke", "upload", "predict", "predict", "activate"]
    assert contained.models == ("digits", "health")
    assert states(means) == (["COMPROMISED", "ACTIVE"], ["REVOKED", "ACTIVE"])
    assert means.store.primaries() == dict.fromkeys(["digits", "health"], new.key_id)
    assert means.store.open(old.key_id).key_id == old.key_id


def test_the_server_refuses_it_before_a_passphrase_is_asked(means):
    old = create_key(means)

    def mistyped():
        assert means.server.key_status(old.key_id).state == "REVOKED"
        raise PassphraseError("the passphrase is wrong")

    lines = []
    with pytest.raises(PassphraseError):
        contain(means.server, old, mistyped, lines.append)
    assert lines == [f"the server refuses key {old.key_id[:12]} from now on"]
    assert means.store.record(old.key_id).state is KeyState.ACTIVE


def test_a_store_is_not_opened_for_a_server_that_cannot_be_reached(means, monkeypatch):
    old = create_key(means)

    def unreachable(key_id):
        raise UnavailableError("no route")

    monkeypatch.setattr(means.server, "revoke_key", unreachable)
    with pytest.raises(UnavailableError):
        contain(means.server, old, unlock=None)
    assert means.store.record(old.key_id).state is KeyState.ACTIVE


def test_an_unreachable_server_is_said_and_nothing_is_changed(means, monkeypatch):
    old = create_key(means)

    def unreachable(key_id):
        raise UnavailableError("no route")

    monkeypatch.setattr(means.server, "revoke_key", unreachable)
    with pytest.raises(UnavailableError) as caught:
        refuse(means.server, old)
    assert f"blindfit-server keys revoke TENANT {old.key_id[:12]}" in caught.value.hint
    assert "--offline" in caught.value.hint
    assert means.store.record(old.key_id).state is KeyState.ACTIVE


def test_a_key_that_the_server_never_had_is_marked(means):
    keyset = make_keyset()
    means.store.create(keyset, model="digits")
    contained, new = compromise(means, keyset.key_id)
    assert contained.record.state is KeyState.COMPROMISED
    assert new is None


def test_what_was_marked_offline_is_replaced_later(means):
    old = create_key(means)
    assert mark(means.store, old).models == ("digits",)
    assert means.store.primary("digits") is None
    contained, new = compromise(means, old.key_id)
    assert contained.models == ("digits",)
    assert means.store.primary("digits") == new
    assert states(means) == (["COMPROMISED", "ACTIVE"], ["REVOKED", "ACTIVE"])


def test_a_key_that_encrypts_for_no_model_needs_no_other(means):
    old = create_key(means)
    rotate(means)
    contained, new = compromise(means, old.key_id)
    assert (contained.models, new) == ((), None)
    assert means.store.record(old.key_id).state is KeyState.COMPROMISED


def test_a_key_that_was_given_up_before_is_not_replaced(means):
    old = create_key(means)
    revoke(means.server, means.store, old.key_id)
    assert compromise(means, old.key_id)[1] is None


@pytest.mark.parametrize("description", [step.description for step in STEPS[Kind.COMPROMISE]])
def test_it_goes_on_after_it_was_stopped_at(means, description):
    old = create_key(means)
    with pytest.raises(StoppedError):
        compromise(means, old.key_id, stop_at(description))
    assert means.server.key_status(old.key_id).state == "REVOKED"
    assert means.store.record(old.key_id).state is KeyState.COMPROMISED
    means = replace(means, store=open_store(means.store.root.parent))
    compromise(means, old.key_id)
    assert states(means) == (["COMPROMISED", "ACTIVE"], ["REVOKED", "ACTIVE"])
    assert Journals(means.store).all() == []


def test_again_when_all_is_done_changes_nothing(means):
    old = create_key(means)
    _, new = compromise(means, old.key_id)
    contained, again = compromise(means, old.key_id)
    assert (contained.models, again) == ((), None)
    assert means.store.primary("digits") == new


@pytest.mark.parametrize("which", ["old", "new"])
def test_a_key_of_a_rotation_that_stands_still_is_replaced_by_finishing_it(means, which):
    old = create_key(means)
    with pytest.raises(StoppedError):
        rotate(means, stop_at("activating on the server"))
    (journal,) = Journals(means.store).all()
    compromised = old.key_id if which == "old" else journal.new_key_id
    compromise(means, compromised)
    if which == "new":
        rotate(means)
    primary = means.store.primary("digits")
    assert primary.key_id not in {compromised, old.key_id}
    assert means.server.key_status(primary.key_id).state == "ACTIVE"
    assert means.server.key_status(compromised).state == "REVOKED"
    assert Journals(means.store).all() == []


def test_a_model_with_other_parameters_now_is_told_to_create(means):
    old = create_key(means)
    refuse(means.server, old)
    contained = mark(means.store, old)
    changed = replace(means, bundle=make_bundle(params_id=OTHER_PARAMS, version=2))
    with pytest.raises(KeyStateError) as caught:
        replace_key(changed, contained)
    assert "create --model digits" in caught.value.hint


def test_a_destroyed_key_cannot_be_compromised(means):
    keyset = make_keyset()
    means.store.create(keyset, model="digits")
    record = means.store.destroy(keyset.key_id)
    with pytest.raises(KeyStateError):
        mark(means.store, record)


def test_the_words_say_that_nothing_takes_back_what_was_recorded(means):
    record = create_key(means)
    words = " ".join(what_stays_readable(record).split())
    assert record.key_id[:12] in words and "digits" in words and record.created in words
    assert "Nothing can take that back" in words
    assert "protects what is encrypted from now on, and nothing before" in words


def test_a_compromised_key_that_a_stopped_rotation_has_activated_is_replaced_at_once(means):
    old = create_key(means)
    with pytest.raises(StoppedError):
        rotate(means, stop_at("waiting until nobody uses the old key"))
    compromised = means.store.primary("digits").key_id
    with using(means.store.root, old.key_id):  # nobody waits for that session now
        compromise(means, compromised, must_not_wait)
    primary = means.store.primary("digits")
    assert primary.key_id not in {old.key_id, compromised}
    assert states(means) == (
        ["DESTROY_SCHEDULED", "COMPROMISED", "ACTIVE"],
        ["REVOKED", "REVOKED", "ACTIVE"],
    )


def must_not_wait(line):
    assert "Ctrl-C" not in line


def test_a_model_that_shared_the_key_meanwhile_gets_the_new_one_too(means):
    old = create_key(means)
    with pytest.raises(StoppedError):
        rotate(means, stop_at("uploading the evaluation keys"))
    share_key(means.store, make_bundle("health"))
    _, new = compromise(means, old.key_id)
    assert means.store.primaries() == dict.fromkeys(["digits", "health"], new.key_id)


def test_a_server_that_knows_this_machine_no_more_is_told_what_to_do_about_it(means):
    old = create_key(means)

    class Stranger:
        def revoke_key(self, key_id):
            raise AccessError("this certificate is not, or no longer, a tenant's")

    with pytest.raises(AccessError, match="nothing was changed") as refused:
        refuse(Stranger(), old)
    assert f"keys revoke TENANT {old.key_id[:12]}" in refused.value.hint
    assert "--offline" in refused.value.hint
