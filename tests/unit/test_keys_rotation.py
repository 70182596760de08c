from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from fixtures_keys import CHEAP, PASSPHRASE, make_keyset
from fixtures_rotation import (
    OTHER_PARAMS,
    WIDTH,
    StoppedError,
    make_bundle,
    make_means,
    states,
)

from blindfit.errors import (
    BundleError,
    KeyMismatchError,
    KeyRevokedError,
    KeyStateError,
    NotFoundError,
    ResponseMismatchError,
    SealError,
)
from keys import means as defaults
from keys.in_use import using
from keys.journal import Kind
from keys.journals import Journals
from keys.keyset import Keyset
from keys.means import Means
from keys.rotation import create_key, is_due, revoke, rotate
from keys.rotation_steps import STEPS
from keys.sharing import share_key
from keys.stanzas import Passphrase
from keys.states import KeyState
from keys.unlocked_store import UnlockedStore


@pytest.fixture
def means(tmp_path):
    return make_means(tmp_path)


def test_create_proves_activates_and_promotes(means):
    steps = []
    record = create_key(means, steps.append)
    assert means.store.primary("digits") == record
    assert states(means) == (["ACTIVE"], ["ACTIVE"])
    assert means.server.calls == ["upload", "predict", "predict", "activate"]
    assert steps == [step.description for step in STEPS[Kind.CREATE]]
    assert Journals(means.store).all() == []


def test_a_long_upload_is_told_in_tenths(means):
    size = 20 << 20
    means = replace(means, generate=lambda folder: make_keyset(evaluation_keys=bytes(size)))
    lines = []
    create_key(means, lines.append)
    uploaded = [line for line in lines if line.startswith("uploaded")]
    assert len(uploaded) == 10 and uploaded[-1] == "uploaded 20 of 20 MB"


def test_a_model_that_has_a_key_is_rotated_and_not_created_again(means):
    create_key(means)
    with pytest.raises(KeyStateError) as caught:
        share_key(means.store, means.bundle)
    assert "rotate --model digits" in caught.value.hint


def test_a_model_of_the_same_parameters_shares_the_key(means):
    record = create_key(means)
    assert share_key(means.store, make_bundle("health")) == means.store.record(record.key_id)
    assert means.store.primaries() == {"digits": record.key_id, "health": record.key_id}
    assert share_key(means.store, make_bundle("spam", OTHER_PARAMS)) is None


def test_sharing_the_key_of_a_named_model_needs_its_parameters(means):
    record = create_key(means)
    shared = share_key(means.store, make_bundle("health"), params_of="digits")
    assert shared.key_id == record.key_id
    with pytest.raises(KeyMismatchError, match="cannot be shared"):
        share_key(means.store, make_bundle("spam", OTHER_PARAMS), params_of="digits")
    with pytest.raises(NotFoundError, match="nobody has no key"):
        share_key(means.store, make_bundle("spam"), params_of="nobody")
    assert "spam" not in means.store.primaries()


def test_rotate_revokes_the_old_key_and_schedules_its_destruction(means):
    old = create_key(means)
    rotated = rotate(means)
    assert (rotated.old.key_id, rotated.old.state) == (old.key_id, KeyState.DESTROY_SCHEDULED)
    assert rotated.new.key_id != old.key_id
    assert means.store.primary("digits") == rotated.new
    assert states(means) == (["DESTROY_SCHEDULED", "ACTIVE"], ["REVOKED", "ACTIVE"])
    due = datetime.fromisoformat(rotated.old.destroy_at) - datetime.now(UTC)
    assert timedelta(days=29, hours=23) < due <= timedelta(days=30)
    assert means.store.open(old.key_id).key_id == old.key_id
    assert Journals(means.store).all() == []


def test_rotate_moves_every_model_that_shares_the_key(means):
    create_key(means)
    share_key(means.store, make_bundle("health"))
    rotated = rotate(means)
    assert means.store.primaries() == dict.fromkeys(["digits", "health"], rotated.new.key_id)


def test_the_server_is_told_the_grace(means, monkeypatch):
    create_key(means)
    told, activate = [], means.server.activate_key
    monkeypatch.setattr(
        means.server,
        "activate_key",
        lambda key_id, replaces, grace=None: told.append(grace) or activate(key_id, replaces),
    )
    rotate(means, grace=timedelta(minutes=5))
    assert told == [300.0]


def test_rotate_waits_for_sessions_before_it_revokes(means):
    old = create_key(means)
    lines = []
    session = using(means.store.root, old.key_id)
    session.__enter__()

    def report(line):
        lines.append(line)
        if "Ctrl-C is safe" in line:
            # Promoted and not revoked: the session gets its results, the next one a new key.
            assert means.server.key_status(old.key_id).state == "RETIRING"
            assert means.store.primary("digits").key_id != old.key_id
            session.__exit__(None, None, None)

    rotate(means, report)
    waiting = [line for line in lines if old.key_id[:12] in line]
    assert len(waiting) == 1 and "rotate --resume" in waiting[0]
    assert means.server.key_status(old.key_id).state == "REVOKED"


def test_rotate_does_not_wait_longer_than_the_grace(means):
    old = create_key(means)
    lines = []
    with using(means.store.root, old.key_id):
        rotate(means, lines.append, grace=timedelta(0))
    assert any("grace is over" in line for line in lines)
    assert means.server.key_status(old.key_id).state == "REVOKED"


def test_rotate_needs_a_first_key(means):
    with pytest.raises(NotFoundError) as caught:
        rotate(means)
    assert "create --model digits" in caught.value.hint


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
    class ForgetfulStore(UnlockedStore):
        def open(self, key_id):
            return make_keyset()

    store = ForgetfulStore(means.store.root, Passphrase(PASSPHRASE, CHEAP))
    with pytest.raises(SealError, match="read back"):
        create_key(replace(means, store=store))
    assert means.server.calls == [] and means.store.primary("digits") is None


def test_a_bundle_that_fails_its_audit_costs_no_keys(means):
    create_key(means)

    def audit(bundle):
        raise BundleError("changed on disk")

    with pytest.raises(BundleError):
        rotate(replace(means, audit=audit, generate=None))
    assert states(means) == (["ACTIVE"], ["ACTIVE"])


@pytest.mark.parametrize("probes", [((0, 0), (3, 7)), ((1, 0), (3, 6)), ((0, 0), (3,))])
def test_a_wrong_proof_activates_nothing(means, probes):
    old = create_key(means)
    with pytest.raises(ResponseMismatchError, match="proof"):
        rotate(replace(means, bundle=make_bundle(probes=probes)))
    assert means.store.primary("digits").key_id == old.key_id
    assert states(means) == (["ACTIVE", "PRE_ACTIVE"], ["ACTIVE", "STAGED"])


def test_rotation_replaces_a_key_that_the_server_revoked(means):
    old = create_key(means)
    means.server.revoke_key(old.key_id)
    rotate(means)
    assert states(means) == (["DESTROY_SCHEDULED", "ACTIVE"], ["REVOKED", "ACTIVE"])


def test_activation_fails_if_somebody_else_activated_meanwhile(means):
    create_key(means)
    other = make_keyset()

    def interfere(step):
        if step == "activating on the server":
            server = means.server
            server.upload_key(other.key_id, other.params_id, other.salt, b"")
            active = next(k.key_id for k in server.keys.values() if k.state == "ACTIVE")
            server.activate_key(other.key_id, active)

    with pytest.raises(KeyStateError, match="another key of this tenant"):
        rotate(means, interfere)
    assert means.server.key_status(other.key_id).state == "ACTIVE"


def test_a_key_of_another_machine_stops_before_anything_is_generated(means):
    other = make_keyset()
    means.server.upload_key(other.key_id, other.params_id, other.salt, b"")
    means.server.activate_key(other.key_id, None)
    with pytest.raises(KeyStateError) as caught:
        create_key(replace(means, generate=None))
    assert other.key_id[:12] in caught.value.hint


def test_a_new_key_replaces_a_suspended_one_on_the_server(means):
    suspended = create_key(means)
    means.store.transition(suspended.key_id, KeyState.SUSPENDED)
    create_key(means)
    assert states(means) == (["SUSPENDED", "ACTIVE"], ["RETIRING", "ACTIVE"])


def test_a_new_version_with_other_parameters_gets_its_own_key(means):
    old = create_key(means)
    changed = replace(
        means,
        bundle=make_bundle(params_id=OTHER_PARAMS, version=2),
        generate=lambda folder: make_keyset(params_id=OTHER_PARAMS),
    )
    rotated = rotate(changed)
    assert rotated.old is None
    assert means.store.primary("digits").key_id == rotated.new.key_id
    # The version before may still be served, and only the old key fits it.
    assert means.server.key_status(old.key_id).state == "ACTIVE"
    assert means.store.active(old.params_id).key_id == old.key_id


def test_a_key_is_due_when_it_is_older(means):
    record = create_key(means)
    assert not is_due(record, timedelta(days=90))
    assert is_due(replace(record, created="2020-01-01T00:00:00Z"), timedelta(days=90))


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
    means.store.create(keyset, model="digits")
    assert revoke(means.server, means.store, keyset.key_id).state is KeyState.DEACTIVATED


def test_the_default_means_are_the_real_ones():
    fields = Means.__dataclass_fields__
    assert fields["generate"].default == Keyset.generate
    assert fields["cipher"].default is defaults.open_cipher
    assert fields["audit"].default is defaults.audit_bundle
