from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from fixtures_keys import CHEAP, PASSPHRASE, make_keyset

from keys.states import KeyState
from keys.store import KeyStore

ROOT = Path(__file__).parents[2]


@pytest.fixture
def store(tmp_path):
    return KeyStore(tmp_path / "keys", cost=CHEAP)


@pytest.fixture
def run(tmp_path):
    def run(*arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "keys.cli", *arguments],
            capture_output=True,
            text=True,
            input=stdin,
            cwd=ROOT,
            env={**os.environ, "BLINDFIT_HOME": str(tmp_path), "COLUMNS": "200"},
        )

    return run


def primary(store, model="digits"):
    keyset = make_keyset()
    store.create(keyset, PASSPHRASE, model=model)
    store.promote(model, keyset.key_id)
    return keyset


def cpu_seconds() -> float:
    """Of ended children; unlike time by the clock it does not depend on what else runs."""
    times = os.times()
    return times.children_user + times.children_system


def document(done):
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_listing_needs_no_passphrase_and_is_quick(store, run):
    old, new = primary(store), primary(store)
    run("list", "--json")
    before = cpu_seconds()
    keys = document(run("list", "--json"))["keys"]
    assert cpu_seconds() - before < 0.5
    assert [(key["key_id"], key["state"], key["primary_of"]) for key in keys] == [
        (old.key_id, "DEACTIVATED", []),
        (new.key_id, "ACTIVE", ["digits"]),
    ]
    table = run("list").stdout
    assert new.key_id[:12] in table and "ACTIVE" in table and "digits" in table


def test_listing_an_empty_home_says_how_to_begin(run):
    done = run("list")
    assert (done.returncode, done.stdout) == (0, "")
    assert "blindfit-keys create" in done.stderr
    assert document(run("list", "--json")) == {"keys": []}


def test_show_tells_what_happened_to_a_key(store, run):
    old = primary(store)
    primary(store)
    shown = document(run("show", old.key_id[:12], "--json"))
    assert (shown["state"], shown["models"]) == ("DEACTIVATED", ["digits"])
    assert [e.get("to") for e in shown["history"]] == [
        "PRE_ACTIVE",
        "ACTIVE",
        None,
        "DEACTIVATED",
    ]
    table = run("show", old.key_id[:12]).stdout
    assert "ACTIVE → DEACTIVATED" in table and "primary of digits" in table


def test_an_unknown_key_is_not_found(store, run):
    done = run("show", "00", "--json")
    assert done.returncode == 3
    assert json.loads(done.stdout)["error"]["reason"] == "NOT_FOUND"


def test_destroying_says_what_is_lost_and_needs_a_yes(store, run):
    old = primary(store)
    primary(store)
    asked = run("destroy", old.key_id)
    assert asked.returncode == 2 and "--yes" in asked.stderr
    assert "unreadable" in asked.stderr and "digits" in asked.stderr
    assert store.record(old.key_id).state is KeyState.DEACTIVATED
    done = document(run("destroy", old.key_id[:12], "--yes", "--json"))
    assert done["key"]["state"] == "DESTROYED"
    assert store.record(old.key_id).state is KeyState.DESTROYED


def test_a_key_in_use_is_not_destroyed(store, run):
    keyset = primary(store)
    done = run("destroy", keyset.key_id, "--yes", "--json")
    assert done.returncode == 6
    assert "blindfit-keys revoke" in json.loads(done.stdout)["error"]["hint"]
    assert store.open(keyset.key_id, PASSPHRASE).same_secret(keyset)


@pytest.mark.parametrize("command", ["create --model digits", "rotate --model digits"])
def test_without_an_identity_the_way_to_one_is_told(run, command):
    done = run(*command.split(), "--json")
    assert done.returncode == 4
    error = json.loads(done.stdout)["error"]
    assert error["reason"] == "NOT_ENROLLED" and "blindfit-client enroll" in error["hint"]


def test_help_is_quick_and_names_every_command(run):
    run("--help")
    before = cpu_seconds()
    done = run("--help")
    assert cpu_seconds() - before < 0.5
    for command in ("create", "list", "show", "rotate", "revoke", "destroy"):
        assert f" {command} " in done.stdout
