from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import pytest
from fixtures_keys import (
    CHEAP,
    PASSPHRASE,
    MemoryServer,
    PlainCipher,
    make_keyset,
    weighted_sum,
)

from blindfit.errors import (
    KeyMismatchError,
    KeyRevokedError,
    KeyStateError,
    NotFoundError,
    PassphraseError,
    ResponseMismatchError,
    SealError,
)
from keys import rotation
from keys.rotation import STEPS, Means, create_key, revoke, rotate, share_key
from keys.states import KeyState
from keys.store import KeyStore

PARAMS, OTHER_PARAMS = "ab" * 32, "ef" * 32
WIDTH = 3


def bundle(model="digits", params_id=PARAMS, probes=((0, 0), (WIDTH, 2 * WIDTH)), version=1):
    return SimpleNamespace(
        folder=None,
        manifest=SimpleNamespace(
            model=model,
            version=version,
            circuit=SimpleNamespace(params_id=params_id, inputs=WIDTH),
            probes=SimpleNamespace(lower=probes[0], upper=probes[1]),
        ),
    )


class StoppedError(Exception):
    pass


@pytest.fixture
def means(tmp_path):
    return Means(
        server=MemoryServer(weighted_sum),
        store=KeyStore(tmp_path / "keys", cost=CHEAP),
        bundle=bundle(),
        passphrase=PASSPHRASE,
        generate=lambda folder: make_keyset(),
        cipher=PlainCipher,
    )


def states(means):
    server = [status.state for status in means.server.keys.values()]
    return [str(record.state) for record in means.store.records()], server


def stop_at(description):
    def report(step):
        if step == description:
            raise StoppedError

    return report


def test_create_proves_activates_and_promotes(means):
    steps = []
    record = create_key(means, steps.append)
    assert means.store.primary("digits") == record
    assert states(means) == (["ACTIVE"], ["ACTIVE"])
    assert means.server.calls == ["upload", "predict", "predict", "activate"]
    assert steps == ["generating keys", *[name for name, _ in STEPS]]


def test_a_model_that_has_a_key_is_rotated_and_not_created_again(means):
    create_key(means)
    with pytest.raises(KeyStateError) as caught:
        share_key(means.store, means.bundle)
    assert "rotate --model digits" in caught.value.hint


def test_a_model_of_the_same_parameters_shares_the_key(means):
    record = create_key(means)
    assert share_key(means.store, bundle("health")) == means.store.record(record.key_id)
    assert means.store.primaries() == {"digits": record.key_id, "health": record.key_id}
    assert share_key(means.store, bundle("spam", OTHER_PARAMS)) is None


def test_rotate_retires_the_old_key_and_keeps_it_for_decrypting(means):
    old = create_key(means)
    rotated = rotate(means)
    assert (rotated.old.key_id, rotated.old.state) == (old.key_id, KeyState.DEACTIVATED)
    assert rotated.new.key_id != old.key_id
    assert means.store.primary("digits") == rotated.new
    assert states(means) == (["DEACTIVATED", "ACTIVE"], ["RETIRING", "ACTIVE"])
    means.server.predict("digits", 1, old.key_id, bytes(8 + 8 * WIDTH))
    assert means.store.open(old.key_id, PASSPHRASE).key_id == old.key_id


def test_rotate_needs_a_first_key(means):
    with pytest.raises(NotFoundError) as caught:
        rotate(means)
    assert "create --model digits" in caught.value.hint


def test_a_wrong_passphrase_stops_before_anything_is_generated(means):
    create_key(means)

    def generate(folder):
        raise AssertionError("generated")

    with pytest.raises(PassphraseError):
        rotate(replace(means, passphrase=b"wrong", generate=generate))


def test_the_same_keys_again_are_not_a_rotation(means):
    means = replace(means, generate=lambda folder: make_keyset(b"always the same"))
    old = create_key(means)
    with pytest.raises(KeyStateError, match="are the old ones"):
        rotate(means)
    assert means.store.primary("digits").key_id == old.key_id
    assert states(means) == (["ACTIVE"], ["ACTIVE"])


def test_keys_of_other_parameters_are_not_used(means):
    means = replace(means, generate=lambda folder: make_keyset(params_id=OTHER_PARAMS))
    with pytest.raises(KeyMismatchError):
        create_key(means)
    assert states(means) == ([], [])


def test_a_keyset_that_does_not_read_back_is_never_uploaded(means):
    class ForgetfulStore(KeyStore):
        def open(self, key_id, passphrase):
            return make_keyset()

    root = means.store._root
    with pytest.raises(SealError, match="read back"):
        create_key(replace(means, store=ForgetfulStore(root, cost=CHEAP)))
    assert means.server.calls == [] and means.store.primary("digits") is None


@pytest.mark.parametrize("probes", [((0, 0), (3, 7)), ((1, 0), (3, 6)), ((0, 0), (3,))])
def test_a_wrong_proof_activates_nothing(means, probes):
    old = create_key(means)
    with pytest.raises(ResponseMismatchError, match="proof"):
        rotate(replace(means, bundle=bundle(probes=probes)))
    assert means.store.primary("digits").key_id == old.key_id
    assert states(means) == (["ACTIVE", "PRE_ACTIVE"], ["ACTIVE", "STAGED"])


@pytest.mark.parametrize("step", ["generating keys", *[name for name, _ in STEPS]])
def test_rotation_resumes_after_it_was_stopped_at(means, step):
    old = create_key(means)
    with pytest.raises(StoppedError):
        rotate(means, stop_at(step))
    assert means.store.primary("digits").key_id == old.key_id
    assert means.server.key_status(old.key_id).state in {"ACTIVE", "RETIRING"}
    rotated = rotate(means)
    assert rotated.old.key_id == old.key_id
    assert states(means) == (["DEACTIVATED", "ACTIVE"], ["RETIRING", "ACTIVE"])
    assert means.server.calls.count("upload") == 2
    for record in means.store.records():
        means.store.open(record.key_id, PASSPHRASE)


@pytest.mark.parametrize("method", ["upload_key", "predict", "activate_key"])
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
    rotate(means)
    assert states(means) == (["DEACTIVATED", "ACTIVE"], ["RETIRING", "ACTIVE"])


def test_a_pending_key_that_the_server_revoked_is_not_taken_up_again(means):
    create_key(means)
    with pytest.raises(StoppedError):
        rotate(means, stop_at("proving the key by an encrypted round trip"))
    pending = means.store.records()[1].key_id
    means.server.revoke_key(pending)
    assert rotate(means).new.key_id != pending


def test_rotation_replaces_a_key_that_the_server_revoked(means):
    old = create_key(means)
    means.server.revoke_key(old.key_id)
    rotate(means)
    assert states(means) == (["DEACTIVATED", "ACTIVE"], ["REVOKED", "ACTIVE"])


def test_activation_fails_if_somebody_else_activated_meanwhile(means):
    create_key(means)
    other = make_keyset()

    def interfere(step):
        if step == "activating on the server":
            server = means.server
            server.upload_key(other.key_id, PARAMS, other.salt, b"")
            active = next(k.key_id for k in server.keys.values() if k.state == "ACTIVE")
            server.activate_key(other.key_id, active)

    with pytest.raises(KeyStateError):
        rotate(means, interfere)
    assert means.server.key_status(other.key_id).state == "ACTIVE"


def test_a_new_version_with_other_parameters_gets_its_own_key(means):
    old = create_key(means)
    changed = replace(
        means,
        bundle=bundle(params_id=OTHER_PARAMS, version=2),
        generate=lambda folder: make_keyset(params_id=OTHER_PARAMS),
    )
    rotated = rotate(changed)
    assert means.store.primary("digits").key_id == rotated.new.key_id
    # The version before may still be served, and only the old key fits it.
    assert means.server.key_status(old.key_id).state == "ACTIVE"
    assert means.store.record(old.key_id).state is KeyState.ACTIVE
    assert means.store.active(old.params_id).key_id == old.key_id


def test_revoking_asks_the_server_first_and_keeps_decrypting(means):
    record = create_key(means)
    revoked = revoke(means.server, means.store, record.key_id[:10])
    assert revoked.state is KeyState.DEACTIVATED
    assert means.server.key_status(record.key_id).state == "REVOKED"
    assert means.store.primary("digits") is None
    assert revoke(means.server, means.store, record.key_id) == revoked
    with pytest.raises(KeyRevokedError):
        means.server.predict("digits", 1, record.key_id, bytes(8 + 8 * WIDTH))


def test_a_failing_server_leaves_the_key_active_here(means, monkeypatch):
    record = create_key(means)

    def refuse(key_id):
        raise StoppedError

    monkeypatch.setattr(means.server, "revoke_key", refuse)
    with pytest.raises(StoppedError):
        revoke(means.server, means.store, record.key_id)
    assert means.store.primary("digits") == record


def test_a_key_that_the_server_never_had_is_revoked_here(means):
    keyset = make_keyset()
    means.store.create(keyset, PASSPHRASE, model="digits")
    assert revoke(means.server, means.store, keyset.key_id).state is KeyState.DEACTIVATED


def test_the_default_means_are_the_real_ones():
    fields = Means.__dataclass_fields__
    assert fields["generate"].default == rotation.Keyset.generate
    assert fields["cipher"].default is rotation.open_cipher
