"""``rotate --all`` and ``--resume``: a rotation that fails stops no other."""

from __future__ import annotations

import json
from contextlib import contextmanager
from types import SimpleNamespace

import pytest
from fixtures_keys import PARAMS, PlainCipher, make_keyset
from fixtures_rotation import OTHER_PARAMS, StoppedError, make_bundle, make_means, stop_at
from typer.testing import CliRunner

from blindfit.errors import BundleError
from keys.cli import app
from keys.commands import rotate_many
from keys.compromise import contain, replace_key
from keys.journals import Journals
from keys.means import Means
from keys.rotation import create_key, rotate
from keys.sharing import share_key

BUNDLES = {"digits": make_bundle(), "spam": make_bundle("spam", OTHER_PARAMS)}


class Home:
    """A home with two keys of different parameters, and the server it is enrolled with."""

    def __init__(self, folder):
        self.folder = folder
        self.means = {"digits": make_means(folder)}
        self.means["spam"] = self._means_for_spam()
        self.damaged = set()
        self.keys = {model: create_key(means) for model, means in self.means.items()}

    @property
    def store(self):
        return self.means["digits"].store

    def _means_for_spam(self):
        digits = self.means["digits"]
        return make_means(
            self.folder,
            server=digits.server,
            store=digits.store,
            bundle=BUNDLES["spam"],
            generate=lambda folder: make_keyset(params_id=OTHER_PARAMS),
        )

    def fetch(self, channel, home, publisher_key, model, version=None):
        if model in self.damaged:
            raise BundleError(f"the bundle of {model} is damaged")
        return BUNDLES[model]

    @contextmanager
    def connected(self, home):
        yield SimpleNamespace(publisher_key=""), self.means["digits"].server

    def new_means(self, server, store, bundle):
        params_id = bundle.manifest.circuit.params_id
        return Means(
            server,
            store,
            bundle,
            generate=lambda folder: make_keyset(params_id=params_id),
            cipher=PlainCipher,
            audit=lambda bundle: None,
        )

    def rotate(self, *arguments):
        return CliRunner().invoke(app, ["rotate", *arguments, "--home", str(self.folder)])


@pytest.fixture
def home(tmp_path, monkeypatch):
    home = Home(tmp_path)
    monkeypatch.setattr(rotate_many, "connected", home.connected)
    monkeypatch.setattr(rotate_many, "fetch_bundle", home.fetch)
    monkeypatch.setattr(rotate_many, "Means", home.new_means)
    monkeypatch.setattr(rotate_many, "unlocked_store", lambda *arguments: home.store)
    return home


def first_and_second(home):
    """The models in the order in which ``--all`` takes their keys."""
    return sorted(home.keys, key=lambda model: home.keys[model].key_id)


def test_a_key_that_cannot_be_rotated_stops_no_other(home):
    first, second = first_and_second(home)
    home.damaged.add(first)
    done = home.rotate("--all")
    assert isinstance(done.exception, BundleError)  # the exit code tells of it
    assert f"failed: the bundle of {first} is damaged" in done.output
    assert home.store.primary(first).key_id == home.keys[first].key_id
    assert home.store.primary(second).key_id != home.keys[second].key_id


def test_all_rotates_each_key_once(home):
    document = json.loads(home.rotate("--all", "--json").stdout)
    assert len(document["rotations"]) == 2
    for model, old in home.keys.items():
        assert home.store.primary(model).key_id != old.key_id


def test_a_stopped_rotation_that_fails_again_stops_no_other(home):
    for means in home.means.values():
        with pytest.raises(StoppedError):
            rotate(means, stop_at("uploading the evaluation keys"))
    stopped = [journal.models[0] for journal in Journals(home.store).all()]
    home.damaged.add(stopped[0])
    assert isinstance(home.rotate("--resume").exception, BundleError)
    assert [journal.models[0] for journal in Journals(home.store).all()] == stopped[:1]
    assert home.store.primary(stopped[1]).key_id != home.keys[stopped[1]].key_id


def test_resume_gives_a_new_key_to_every_model_of_a_compromised_one(home, monkeypatch):
    means, old = home.means["digits"], home.keys["digits"]
    share_key(home.store, make_bundle("health"))
    _, contained = contain(means.server, old, lambda: home.store)
    with pytest.raises(StoppedError):
        replace_key(means, contained, stop_at("making it the primary"))
    assert set(home.store.primaries()) == {"spam"}
    monkeypatch.setattr(rotate_many, "open_bundle", lambda *arguments: BUNDLES["digits"])
    assert home.rotate("--resume").exit_code == 0
    new = home.store.active(PARAMS)
    assert home.store.primaries() == {
        "digits": new.key_id,
        "health": new.key_id,
        "spam": home.keys["spam"].key_id,
    }
