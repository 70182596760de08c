"""The command line of ``rotate``: what it refuses, and what it does without a server."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path

import pytest
from fixtures_keys import PARAMS, make_keyset
from fixtures_rotation import StoppedError, make_means, open_store, stop_at
from typer.testing import CliRunner

from blindfit.errors import InputError, NotFoundError, PassphraseError
from keys.cli import app
from keys.journal import Kind, new_journal
from keys.journals import Journals
from keys.rotation import create_key, rotate


def run(*arguments: str | Path):
    result = CliRunner().invoke(app, ["rotate", *map(str, arguments)])
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("--model", "digits", "--all"),
        ("--status", "--resume"),
        ("abcd", "--all"),
        ("--status", "--dry-run"),
        ("--resume", "--if-older-than", "90d"),
        ("--all", "--if-older-than", "soon"),
        ("--all", "--grace", "1"),
    ],
)
def test_requests_that_contradict_themselves_are_refused(tmp_path, arguments):
    with pytest.raises(InputError):
        run(*arguments, "--home", tmp_path)


def test_without_keys_there_is_nothing_to_show_or_to_resume(tmp_path):
    for action in ("--status", "--resume", "--all"):
        result = run(action, "--home", tmp_path, "--json")
        assert json.loads(result.stdout) == {"rotations": []}
    with pytest.raises(NotFoundError, match="no keys for digits"):
        run("--model", "digits", "--home", tmp_path)


@pytest.mark.parametrize("target", [("--all",), ("--model", "digits"), ()])
def test_what_is_not_due_needs_no_passphrase_and_no_server(tmp_path, target):
    create_key(make_means(tmp_path))
    result = run(*target, "--if-older-than", "90d", "--home", tmp_path, "--json")
    assert json.loads(result.stdout)["rotations"] == []


def test_the_status_shows_a_stopped_rotation_without_a_passphrase(tmp_path):
    means = make_means(tmp_path)
    old = create_key(means)
    with pytest.raises(StoppedError):
        rotate(means, stop_at("proving the key by an encrypted round trip"))
    (shown,) = json.loads(run("--status", "--home", tmp_path, "--json").stdout)["rotations"]
    assert shown["kind"] == "rotate" and shown["models"] == ["digits"]
    assert (shown["step"], shown["running"]) == ("stage", False)
    assert shown["next"] == "proving the key by an encrypted round trip"
    assert shown["old_key_id"] == old.key_id
    assert shown["age"] >= 0
    table = run("--status", "--home", tmp_path).output
    assert shown["id"] in table and "stopped" in table


def test_several_rotations_are_given_up_one_by_one(tmp_path):
    store = open_store(tmp_path)
    store.create(make_keyset(), model="digits")
    for params_id in (PARAMS, "cd" * 32):
        journal = new_journal(Kind.ROTATE, ("digits",), params_id, None, timedelta(0))
        Journals(store).save(store, journal)
    with pytest.raises(InputError, match="several"):
        run("--abort", "--home", tmp_path)


@pytest.mark.parametrize(
    ("step", "can_abort"),
    [("proving the key by an encrypted round trip", True), ("making it the primary", False)],
)
def test_giving_up_is_offered_only_while_it_is_possible(tmp_path, step, can_abort):
    means = make_means(tmp_path)
    create_key(means)
    with pytest.raises(StoppedError):
        rotate(means, stop_at(step))
    (shown,) = json.loads(run("--status", "--home", tmp_path, "--json").stdout)["rotations"]
    assert shown["can_abort"] is can_abort
    output = run("--status", "--home", tmp_path).output
    assert "rotate --resume" in output
    assert ("--abort ID" in output) is can_abort


def test_a_dry_run_with_a_wrong_passphrase_says_so(tmp_path):
    create_key(make_means(tmp_path))
    wrong = tmp_path / "wrong"
    wrong.write_text("not it\n")
    wrong.chmod(0o600)
    with pytest.raises(PassphraseError):
        run("--all", "--dry-run", "--home", tmp_path, "--passphrase-file", wrong)
