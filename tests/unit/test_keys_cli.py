from __future__ import annotations

import json
import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from fixtures_keys import PASSPHRASE
from fixtures_store import new_store, primary, reopened

from blindfit.files import write_exclusive
from keys.recovery import RecoveryKey
from keys.states import KeyState

ROOT = Path(__file__).parents[2]
COMMANDS = (
    "create list show rotate revoke compromised suspend destroy backup restore recipients "
    "passphrase verify"
)


@pytest.fixture
def store(tmp_path):
    return new_store(tmp_path / "keys")


@pytest.fixture
def unlocking(tmp_path):
    """The options that open the store."""
    write_exclusive(tmp_path / "passphrase", PASSPHRASE + b"\n")
    return ["--passphrase-file", str(tmp_path / "passphrase")]


@pytest.fixture
def new_passphrase(tmp_path):
    write_exclusive(tmp_path / "new", b"the new one\n")
    return ["--new-passphrase-file", str(tmp_path / "new")]


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


def cpu_seconds() -> float:
    """Of ended children; unlike time by the clock it does not depend on what else runs."""
    times = os.times()
    return times.children_user + times.children_system


def files_of(store):
    return {path: path.read_bytes() for path in store.root.rglob("*") if path.is_file()}


def document(done):
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_listing_needs_no_passphrase_and_is_quick(store, run):
    old, new = primary(store), primary(store)
    run("list", "--json")
    before = cpu_seconds()
    listed = document(run("list", "--json"))
    assert cpu_seconds() - before < 2.0  # Concrete or numpy would take more; the bench measures it
    assert listed["store"] == store.fingerprint()
    keys = listed["keys"]
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
    assert document(run("list", "--json")) == {"store": None, "keys": []}


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


def test_destroying_is_scheduled_and_can_be_taken_back(store, run, unlocking):
    old = primary(store)
    primary(store)
    done = run("destroy", old.key_id[:12], "--in", "12h", "--json", *unlocking)
    shown = document(done)["key"]
    assert shown["state"] == "DESTROY_SCHEDULED"
    assert "--cancel` keeps it" in done.stderr and shown["destroy_at"] in done.stderr
    assert f"DESTROY_SCHEDULED ({shown['destroy_at'][:10]})" in run("list").stdout
    assert f"DESTROY_SCHEDULED ({shown['destroy_at']})" in run("show", old.key_id).stdout
    kept = document(run("destroy", old.key_id, "--cancel", "--json", *unlocking))["key"]
    assert (kept["state"], kept["destroy_at"]) == ("DEACTIVATED", None)
    again = document(run("destroy", old.key_id, "--json", *unlocking))["key"]["destroy_at"]
    days = datetime.fromisoformat(again) - datetime.now(UTC)
    assert timedelta(days=29, hours=23) < days <= timedelta(days=30)


def test_destroying_now_says_what_is_lost_and_needs_a_yes(store, run, unlocking):
    old = primary(store)
    primary(store)
    asked = run("destroy", old.key_id, "--now", *unlocking)
    assert asked.returncode == 2 and "--yes" in asked.stderr
    assert "unreadable" in asked.stderr and "digits" in asked.stderr
    assert store.record(old.key_id).state is KeyState.DEACTIVATED
    done = document(run("destroy", old.key_id[:12], "--now", "--yes", "--json", *unlocking))
    assert done["key"]["state"] == "DESTROYED"
    assert store.record(old.key_id).state is KeyState.DESTROYED


@pytest.mark.parametrize("how", [["--now", "--yes"], [], ["--in", "1d"]])
def test_a_key_in_use_is_not_destroyed(store, run, unlocking, how):
    keyset = primary(store)
    done = run("destroy", keyset.key_id, *how, "--json", *unlocking)
    assert done.returncode == 6
    assert "blindfit-keys revoke" in json.loads(done.stdout)["error"]["hint"]
    assert store.open(keyset.key_id).same_secret(keyset)


@pytest.mark.parametrize(
    "how", [["--now", "--cancel"], ["--now", "--in", "1d"], ["--in", "soon"], ["--in", "-1d"]]
)
def test_unclear_ways_to_destroy_are_refused(store, run, unlocking, how):
    keyset = primary(store)
    primary(store)
    assert run("destroy", keyset.key_id, *how, *unlocking).returncode == 2
    assert store.record(keyset.key_id).state is KeyState.DEACTIVATED


def test_without_the_passphrase_nothing_is_changed(store, run, unlocking, tmp_path):
    old = primary(store)
    primary(store)
    before = store.records()
    (tmp_path / "passphrase").write_text("wrong\n")
    for command in (["destroy", old.key_id], ["suspend", before[1].key_id]):
        assert run(*command).returncode == 2
        done = run(*command, "--json", *unlocking)
        assert done.returncode == 4
        assert json.loads(done.stdout)["error"]["reason"] == "WRONG_PASSPHRASE"
    assert store.records() == before


def test_a_suspended_key_is_used_again_after_it_is_lifted(store, run, unlocking):
    keyset = primary(store)
    done = document(run("suspend", keyset.key_id, "--json", *unlocking))
    assert (done["key"]["state"], done["key"]["primary_of"]) == ("SUSPENDED", [])
    done = document(run("suspend", keyset.key_id, "--lift", "--json", *unlocking))
    assert (done["key"]["state"], done["key"]["primary_of"]) == ("ACTIVE", ["digits"])


def test_a_lost_passphrase_is_replaced_by_a_recovery_key(
    store, run, unlocking, new_passphrase, tmp_path
):
    keyset = primary(store)
    key_file = tmp_path / "bob.key"
    public = run("recipients", "new", str(key_file)).stdout.strip()
    assert str(RecoveryKey.read(key_file).recipient) == public
    assert run("recipients", "new", str(key_file)).returncode == 2
    listed = run("recipients", "list")
    assert "ALL KEYS ARE LOST" in listed.stderr
    added = document(run("recipients", "add", "bob", public, "--json", *unlocking))
    assert added["recipients"] == [{"name": "bob", "public": public}]
    assert added["store"] == store.fingerprint()
    recover = ["passphrase", "--recovery-key", str(key_file), *new_passphrase]
    before = files_of(store)
    refused = run(*recover)
    assert refused.returncode == 2 and "--fingerprint" in refused.stderr
    assert run(*recover, "--fingerprint", "0123:4567").returncode == 5
    assert run("passphrase", "--fingerprint", store.fingerprint(), *unlocking).returncode == 2
    assert files_of(store) == before
    changed = run(*recover, "--json", "--fingerprint", store.fingerprint().upper())
    assert document(changed) == {"lock": "argon2id", "keys": 1}
    assert "as before" in changed.stderr
    assert reopened(store.root, b"the new one").open(keyset.key_id).same_secret(keyset)


def test_another_passphrase_warns_what_its_loss_would_cost(store, run, unlocking, new_passphrase):
    done = run("passphrase", *unlocking, *new_passphrase)
    assert done.returncode == 0
    assert "ALL KEYS ARE LOST" in done.stderr and "recipients add" in done.stderr
    assert run("passphrase", *unlocking, *new_passphrase).returncode == 4


def test_a_removed_recipient_is_told_about_copies(store, run, unlocking):
    store.add_recipient("bob", RecoveryKey.generate().recipient)
    done = run("recipients", "remove", "bob", *unlocking)
    assert done.returncode == 0 and "as before" in done.stderr
    assert "ALL KEYS ARE LOST" in done.stderr
    assert run("recipients", "remove", "bob", *unlocking).returncode == 3


def test_a_mistyped_recipient_is_refused_before_the_passphrase_is_asked(store, run):
    public = str(RecoveryKey.generate().recipient)
    wrong = public[:-1] + ("a" if public[-1] != "a" else "b")
    done = run("recipients", "add", "bob", wrong)
    assert done.returncode == 2 and "passphrase" not in done.stderr


def test_a_backup_is_restored_into_another_home(store, run, unlocking, new_passphrase, tmp_path):
    keyset = primary(store)
    key = RecoveryKey.generate()
    key.write(tmp_path / "bob.key")
    file, other = str(tmp_path / "backup"), str(tmp_path / "other")
    refused = run("backup", file, *unlocking)
    assert refused.returncode == 2 and "recipients new" in refused.stderr
    made = run("backup", file, "--recipient", str(key.recipient), "--json", *unlocking)
    assert document(made)["store"] == store.fingerprint()
    assert (tmp_path / "backup").stat().st_mode & 0o777 == 0o600
    again = run("backup", file, "--recipient", str(key.recipient), *unlocking)
    assert again.returncode == 2 and "never overwritten" in again.stderr
    restore = ["restore", file, "--recovery-key", str(tmp_path / "bob.key"), *new_passphrase]
    refused = run(*restore, "--home", other)
    assert refused.returncode == 2 and "--fingerprint" in refused.stderr
    foreign = run(*restore, "--home", other, "--fingerprint", "0123:4567")
    assert foreign.returncode == 5 and store.fingerprint() in foreign.stderr
    assert not (tmp_path / "other" / "keys").exists()
    restore += ["--fingerprint", store.fingerprint()]
    done = run(*restore, "--home", other, "--json")
    shown = document(done)
    assert shown["store"] == store.fingerprint()
    assert [k["state"] for k in shown["keys"]] == ["ACTIVE"]
    assert "enroll" in done.stderr
    opened = reopened(tmp_path / "other" / "keys", b"the new one").open(keyset.key_id)
    assert opened.same_secret(keyset)
    assert run(*restore, "--home", other).returncode == 6
    assert {p.name for p in tmp_path.glob(".*")} == set()


def test_verify_tells_what_is_wrong_and_ends_with_5(store, run, unlocking):
    keyset = primary(store)
    good = run("verify", "--offline", "--json", *unlocking)
    assert document(good) == {
        "checked": ["signatures", "audit log", "files", "rotations", "keysets"],
        "findings": [],
    }
    path = store.root / "keysets" / f"{keyset.key_id}.keyset"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    shallow = run("verify", "--offline", "--json")
    assert document(shallow)["findings"] == [] and "--passphrase-file" in shallow.stderr
    bad = run("verify", "--offline", "--json", *unlocking)
    assert bad.returncode == 5
    (finding,) = json.loads(bad.stdout)["findings"]
    assert finding["subject"] == f"key {keyset.key_id[:12]}" and "backup" in finding["advice"]


def test_verify_keeps_what_it_found_when_the_store_does_not_open(store, run, tmp_path):
    destroyed = primary(store)
    (store.root / "keysets" / f"{destroyed.key_id}.keyset").unlink()
    write_exclusive(tmp_path / "wrong", b"no\n")
    done = run("verify", "--offline", "--json", "--passphrase-file", str(tmp_path / "wrong"))
    told = json.loads(done.stdout)
    assert done.returncode == 5 and "keysets" not in told["checked"]
    assert [f["subject"] for f in told["findings"]] == [f"key {destroyed.key_id[:12]}", "key store"]
    assert "could not be opened" in told["findings"][-1]["problem"]


def test_verify_says_that_the_server_could_not_be_asked(store, run):
    done = run("verify", "--json")
    assert done.returncode == 5
    (finding,) = json.loads(done.stdout)["findings"]
    assert finding["subject"] == "server" and "enroll" in finding["advice"]


def test_without_an_identity_the_way_to_one_is_told(run):
    done = run("create", "--model", "digits", "--json")
    assert done.returncode == 4
    error = json.loads(done.stdout)["error"]
    assert error["reason"] == "NOT_ENROLLED" and "blindfit-client enroll" in error["hint"]


def test_a_revocation_that_does_not_reach_the_server_changes_nothing(store, run, unlocking):
    keyset = primary(store)
    done = run("revoke", keyset.key_id, "--json", *unlocking)
    assert json.loads(done.stdout)["error"]["reason"] == "NOT_ENROLLED"
    assert store.record(keyset.key_id).state is KeyState.ACTIVE


def test_a_wrong_passphrase_revokes_nothing_anywhere(store, run, tmp_path):
    keyset = primary(store)
    write_exclusive(tmp_path / "wrong", b"mistyped\n")
    done = run("revoke", keyset.key_id, "--json", "--passphrase-file", str(tmp_path / "wrong"))
    # Without an identity, asking the server first would have said that.
    assert json.loads(done.stdout)["error"]["reason"] == "WRONG_PASSPHRASE"
    assert store.record(keyset.key_id).state is KeyState.ACTIVE


def test_help_is_quick_and_names_every_command(run):
    run("--help")
    before = cpu_seconds()
    done = run("--help")
    assert cpu_seconds() - before < 2.0  # Concrete or numpy would take more; the bench measures it
    for command in COMMANDS.split():
        assert f" {command} " in done.stdout
