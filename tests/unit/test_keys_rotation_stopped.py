"""A rotation that was stopped anywhere can go on, be given up, and is never done twice at once."""

from __future__ import annotations

import os
import signal
from dataclasses import replace
from datetime import UTC, datetime, timedelta

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

from blindfit.errors import KeyMismatchError, KeyStateError, NotFoundError, UnavailableError
from blindfit.files import write_exclusive
from keys.in_use import using
from keys.journal import Kind
from keys.journals import Journals
from keys.rotation import abort, create_key, resume, rotate
from keys.rotation_steps import STEPS, is_activated, next_steps
from keys.sharing import share_key
from keys.states import KeyState
from keys.store import KeyStore

DESCRIPTIONS = [step.description for step in STEPS[Kind.ROTATE]]
AFTER_ACTIVATION = DESCRIPTIONS[DESCRIPTIONS.index("activating on the server") + 1 :]
ROTATED = (["DESTROY_SCHEDULED", "ACTIVE"], ["REVOKED", "ACTIVE"])


@pytest.fixture
def means(tmp_path):
    return make_means(tmp_path)


def stopped(means, description):
    """The journal of a rotation that was stopped when that step began."""
    with pytest.raises(StoppedError):
        rotate(means, stop_at(description))
    (journal,) = Journals(KeyStore(means.store.root)).all()
    return journal


def reopened(means):
    """The same store, as the next process opens it."""
    return replace(means, store=open_store(means.store.root.parent))


@pytest.mark.parametrize("description", DESCRIPTIONS)
def test_rotation_resumes_after_it_was_stopped_at(means, description):
    old = create_key(means)
    journal = stopped(means, description)
    assert next_steps(journal)[0] == description
    assert means.store.primary("digits") is not None
    assert is_activated(journal) is (description in AFTER_ACTIVATION)
    rotated = resume(reopened(means), journal)
    assert rotated.old.key_id == old.key_id
    assert states(means) == ROTATED
    assert means.server.calls.count("upload") == 2
    assert Journals(means.store).all() == []
    for record in means.store.records():
        means.store.open(record.key_id)


@pytest.mark.parametrize("description", DESCRIPTIONS)
def test_another_rotate_goes_on_with_the_one_that_was_stopped_at(means, description):
    create_key(means)
    journal = stopped(means, description)
    lines = []
    rotate(reopened(means), lines.append)
    assert f"going on with rotation {journal.rotation_id}" in lines
    if journal.new_key_id and description not in DESCRIPTIONS[:4]:
        assert means.store.primary("digits").key_id == journal.new_key_id
    assert states(means) == ROTATED


@pytest.mark.parametrize("method", ["upload_key", "predict", "activate_key", "revoke_key"])
def test_rotation_resumes_when_an_answer_of_the_server_was_lost(means, method, monkeypatch):
    create_key(means)
    done = getattr(means.server, method)

    def answer_is_lost(*args, **kwargs):
        done(*args, **kwargs)
        raise StoppedError

    monkeypatch.setattr(means.server, method, answer_is_lost)
    with pytest.raises(StoppedError):
        rotate(means)
    monkeypatch.undo()
    rotate(reopened(means))
    assert states(means) == ROTATED


def test_creating_resumes_too(means):
    with pytest.raises(StoppedError):
        create_key(means, stop_at("activating on the server"))
    record = create_key(reopened(means))
    assert states(means) == (["ACTIVE"], ["ACTIVE"])
    assert means.store.primary("digits") == record


@pytest.mark.parametrize("by", ["server", "store"])
def test_a_new_key_that_was_refused_meanwhile_is_not_taken_up_again(means, by):
    create_key(means)
    journal = stopped(means, "activating on the server")
    if by == "server":
        means.server.revoke_key(journal.new_key_id)
    else:
        means.store.transition(journal.new_key_id, KeyState.COMPROMISED)
    rotated = resume(reopened(means), journal)
    assert rotated.new.key_id != journal.new_key_id
    assert means.server.key_status(journal.new_key_id).state == "REVOKED"
    assert means.store.record(journal.new_key_id).state is not KeyState.PRE_ACTIVE


@pytest.mark.parametrize("description", DESCRIPTIONS[4:8])
@pytest.mark.parametrize("command", ["resume", "rotate", "abort"])
def test_a_journal_that_is_put_back_does_not_revoke_the_key_in_use(means, description, command):
    create_key(means)
    kept = {}

    def keep(step):
        for path in (means.store.root / "rotations").glob("*.json"):
            kept[step] = (path, path.read_bytes())

    rotate(means, keep)
    path, content = kept[description]
    write_exclusive(path, content)
    (journal,) = Journals(means.store).all()
    with pytest.raises(KeyStateError) as refused:
        {
            "resume": lambda: resume(reopened(means), journal),
            "rotate": lambda: rotate(reopened(means)),
            "abort": lambda: abort(means.server, means.store, journal),
        }[command]()
    assert states(means) == ROTATED
    if command != "abort":
        assert str(path) in refused.value.hint


def test_going_on_does_not_lift_a_suspension(means):
    create_key(means)
    journal = stopped(means, "waiting until nobody uses the old key")
    means.store.transition(journal.new_key_id, KeyState.SUSPENDED)
    Journals(means.store).save(means.store, replace(journal, step="activate"))
    with pytest.raises(KeyStateError, match="suspended"):
        resume(reopened(means), journal)
    assert means.store.record(journal.new_key_id).state is KeyState.SUSPENDED
    means.store.transition(journal.new_key_id, KeyState.ACTIVE)
    resume(reopened(means), journal)
    assert states(means) == ROTATED


def test_giving_up_goes_on_after_the_key_was_destroyed(means, monkeypatch):
    create_key(means)
    journal = stopped(means, "activating on the server")
    with monkeypatch.context() as patch:
        patch.setattr(Journals, "remove", lambda *_: (_ for _ in ()).throw(StoppedError))
        with pytest.raises(StoppedError):
            abort(means.server, means.store, journal)
    abort(means.server, reopened(means).store, journal)
    assert states(means) == (["ACTIVE", "DESTROYED"], ["ACTIVE", "REVOKED"])
    assert Journals(means.store).all() == []


def test_resuming_with_a_bundle_of_other_parameters_says_what_to_do(means):
    create_key(means)
    journal = stopped(means, "uploading the evaluation keys")
    changed = replace(means, bundle=make_bundle(params_id=OTHER_PARAMS, version=2))
    with pytest.raises(KeyMismatchError) as caught:
        resume(changed, journal)
    assert f"--abort {journal.rotation_id}" in caught.value.hint


def test_the_drain_has_one_deadline_however_often_it_is_resumed(means):
    old = create_key(means)

    def interrupt(line):
        if "Ctrl-C is safe" in line:
            raise KeyboardInterrupt

    with using(means.store.root, old.key_id):
        with pytest.raises(KeyboardInterrupt):
            rotate(means, interrupt)
        (journal,) = Journals(means.store).all()
        until = datetime.fromisoformat(journal.drain_until) - datetime.now(UTC)
        assert timedelta(minutes=59) < until <= timedelta(hours=1)
        with pytest.raises(KeyboardInterrupt):
            resume(means, journal, interrupt)
        assert Journals(means.store).find(journal.rotation_id).drain_until == journal.drain_until
    resume(means, journal)
    assert states(means) == ROTATED


@pytest.mark.parametrize("description", DESCRIPTIONS[:8])
def test_before_activation_a_rotation_can_be_given_up_at(means, description):
    old = create_key(means)
    journal = stopped(means, description)
    abort(means.server, reopened(means).store, journal)
    assert Journals(means.store).all() == []
    assert means.store.primary("digits").key_id == old.key_id
    here, there = states(means)
    assert here[0] == "ACTIVE" and set(here[1:]) <= {"DESTROYED"}
    assert there[0] == "ACTIVE" and set(there[1:]) <= {"REVOKED"}
    rotate(means)
    assert means.server.key_status(old.key_id).state == "REVOKED"


def test_a_new_key_that_the_server_did_not_refuse_is_not_destroyed(means, monkeypatch):
    create_key(means)
    journal = stopped(means, "activating on the server")

    def unreachable(key_id):
        raise UnavailableError("no route")

    monkeypatch.setattr(means.server, "revoke_key", unreachable)
    with pytest.raises(UnavailableError):
        abort(means.server, means.store, journal)
    assert means.store.record(journal.new_key_id).state is KeyState.PRE_ACTIVE
    assert Journals(means.store).find(journal.rotation_id) == journal
    monkeypatch.undo()
    abort(means.server, means.store, journal)
    assert states(means) == (["ACTIVE", "DESTROYED"], ["ACTIVE", "REVOKED"])


@pytest.mark.parametrize("description", AFTER_ACTIVATION)
def test_after_activation_a_rotation_can_only_go_on_at(means, description):
    create_key(means)
    journal = stopped(means, description)
    with pytest.raises(KeyStateError) as caught:
        abort(means.server, means.store, journal)
    assert f"--resume {journal.rotation_id}" in caught.value.hint
    resume(means, journal)
    assert states(means) == ROTATED


def test_an_activation_whose_answer_was_lost_is_not_given_up(means, monkeypatch):
    create_key(means)
    activate = means.server.activate_key

    def answer_is_lost(*args, **kwargs):
        activate(*args, **kwargs)
        raise StoppedError

    monkeypatch.setattr(means.server, "activate_key", answer_is_lost)
    with pytest.raises(StoppedError):
        rotate(means)
    (journal,) = Journals(means.store).all()
    with pytest.raises(KeyStateError, match="activated"):
        abort(means.server, means.store, journal)


def test_a_rotation_that_is_over_is_not_resumed(means):
    create_key(means)
    journal = stopped(means, "sealing and reading back")
    rotate(means)
    with pytest.raises(NotFoundError):
        resume(means, journal)


def test_a_second_rotation_says_which_one_is_going_on(means):
    create_key(means)
    refusals = []

    def second(step):
        if step == "uploading the evaluation keys":
            with pytest.raises(KeyStateError) as caught:
                rotate(reopened(means))
            refusals.append(caught.value)
            (journal,) = Journals(means.store).all()
            assert journal.rotation_id in str(caught.value) and "digits" in str(caught.value)
            assert Journals(means.store).is_running(journal)

    rotate(means, second)
    assert len(refusals) == 1 and "--status" in refusals[0].hint
    assert states(means) == ROTATED


def test_keys_of_other_parameters_rotate_at_the_same_time(means):
    create_key(means)
    other = replace(
        means,
        bundle=make_bundle("spam", OTHER_PARAMS),
        generate=lambda folder: make_keyset(params_id=OTHER_PARAMS),
    )

    def meanwhile(step):
        if step == "uploading the evaluation keys":
            create_key(other)

    rotate(means, meanwhile)
    assert set(means.store.primaries()) == {"digits", "spam"}


def test_the_lock_of_a_killed_process_is_free(means):
    create_key(means)
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        rotate(means, lambda step: step == DESCRIPTIONS[6] and os.write(writer, b"!") and os.kill(
            os.getpid(), signal.SIGKILL))  # fmt: skip
        os._exit(1)
    os.close(writer)
    assert os.read(reader, 1) == b"!"
    os.waitpid(child, 0)
    (journal,) = Journals(means.store).all()
    assert not Journals(means.store).is_running(journal)
    # The server in memory was the child's own: here it has not heard of the new key.
    resume(reopened(means), journal)
    assert states(means) == ROTATED


def test_a_key_that_the_server_lost_meanwhile_is_uploaded_and_proven_again(means):
    create_key(means)
    journal = stopped(means, "activating on the server")
    del means.server.keys[journal.new_key_id]
    means.server.calls.clear()
    assert resume(means, journal).new.key_id == journal.new_key_id
    assert means.server.calls == ["upload", "predict", "predict", "activate", "revoke"]


def test_a_creation_that_was_stopped_at_its_very_end_is_no_rotation(means, monkeypatch):
    def die(self, journal):
        raise StoppedError

    monkeypatch.setattr(Journals, "remove", die)
    with pytest.raises(StoppedError):
        create_key(means)
    monkeypatch.undo()
    first = means.store.primary("digits")
    assert share_key(means.store, means.bundle) is None  # `create` goes on with it
    assert rotate(means).old.key_id == first.key_id
    assert states(means) == ROTATED


def test_creating_again_after_the_very_end_only_ends_it(means, monkeypatch):
    def die(self, journal):
        raise StoppedError

    monkeypatch.setattr(Journals, "remove", die)
    with pytest.raises(StoppedError):
        create_key(means)
    monkeypatch.undo()
    assert create_key(means) == means.store.primary("digits")
    assert states(means) == (["ACTIVE"], ["ACTIVE"])
    assert Journals(means.store).all() == []


@pytest.mark.parametrize("description", DESCRIPTIONS[9:])
def test_the_new_secret_is_wiped_before_anybody_waits(means, description):
    create_key(means)
    keysets = []

    def generate(folder):
        keysets.append(make_keyset())
        return keysets[-1]

    def report(step):
        if step == description:
            with pytest.raises(KeyStateError, match="wiped"):
                keysets[0].same_secret(make_keyset())

    rotate(replace(means, generate=generate), report)
    assert len(keysets) == 1
