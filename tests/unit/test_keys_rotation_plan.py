from __future__ import annotations

from collections import namedtuple
from datetime import timedelta

import pytest
from fixtures_keys import make_keyset
from fixtures_rotation import StoppedError, make_bundle, make_means, states, stop_at

from blindfit.errors import BundleError, KeyStateError, LimitError, NotFoundError
from keys import rotation_plan
from keys.journal import Kind
from keys.journals import Journals
from keys.rotation import create_key, rotate
from keys.rotation_plan import plan_rotation
from keys.rotation_steps import STEPS
from keys.sharing import share_key
from keys.store import KeyStore

GRACE = timedelta(minutes=5)


@pytest.fixture
def means(tmp_path, monkeypatch):
    monkeypatch.setattr(rotation_plan, "audit_bundle", lambda bundle: None)
    return make_means(tmp_path)


def plan(means, bundle=None):
    """What a reader without the passphrase is told."""
    store = KeyStore(means.store.root)
    return plan_rotation(means.server, store, bundle or means.bundle, GRACE)


def test_a_plan_tells_what_would_happen_and_changes_nothing(means):
    old = create_key(means)
    share_key(means.store, make_bundle("health"))
    before, means.server.calls = states(means), []
    planned = plan(means)
    assert planned.models == ("digits", "health")
    assert (planned.old_key_id, planned.resumes, planned.held) == (old.key_id, None, 1)
    assert "waiting until nobody uses the old key (at most 0:05:00)" in planned.steps
    assert planned.steps[-1].endswith("(30 days later)")
    assert (states(means), means.server.calls) == (before, [])
    assert Journals(means.store).all() == []


def test_a_plan_names_the_rotation_that_would_go_on(means):
    create_key(means)
    with pytest.raises(StoppedError):
        rotate(means, stop_at("activating on the server"))
    (journal,) = Journals(means.store).all()
    planned = plan(means)
    assert planned.resumes == journal.rotation_id
    every = [step.description for step in STEPS[Kind.ROTATE]]
    assert planned.steps == tuple(every[every.index("activating on the server") :])


def test_a_model_without_a_key_has_no_plan(means):
    with pytest.raises(NotFoundError):
        plan(means)


def test_a_key_of_another_machine_is_found_before(means):
    old, other = create_key(means), make_keyset()
    means.server.upload_key(other.key_id, other.params_id, other.salt, b"")
    means.server.activate_key(other.key_id, old.key_id)
    with pytest.raises(KeyStateError, match="another key of this tenant"):
        plan(means)


def test_a_full_disk_is_found_before(means, monkeypatch):
    create_key(means)
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(rotation_plan.shutil, "disk_usage", lambda path: usage(1, 1, 1 << 20))
    with pytest.raises(LimitError, match="1 MB left"):
        plan(means)


def test_a_changed_bundle_is_found_before(means, monkeypatch):
    create_key(means)

    def audit(bundle):
        raise BundleError("changed on disk")

    monkeypatch.setattr(rotation_plan, "audit_bundle", audit)
    with pytest.raises(BundleError):
        plan(means)
