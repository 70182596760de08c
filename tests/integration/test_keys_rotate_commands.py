"""`blindfit-keys create`, `rotate` and `compromised` as a person runs them, against a daemon."""

from __future__ import annotations

import json
import signal
import subprocess

import numpy as np
import pytest

from blindfit.schema import Schema
from demo.programs import CommandFailedError, ask, command
from keys.identity import load_identity
from keys.store import KeyStore

pytestmark = pytest.mark.slow

MODELS = ("rotated", "beside")  # of the same parameters


@pytest.fixture(scope="module")
def client(deployment, concrete):
    """A home with a key for the first model."""
    from sklearn.linear_model import LogisticRegression

    from server_app.publish import publish_estimator

    X = np.random.default_rng(3).random((100, 5))
    feature = {"name": "x{0..4}", "kind": "number", "min": 0, "max": 1}
    schema = {"target": "y", "classes": [0, 1], "features": [feature]}
    estimator = LogisticRegression().fit(X, (X[:, 0] > X[:, 1]).astype(int))
    for name in MODELS:
        publish_estimator(deployment.server, name, Schema.model_validate(schema), estimator)
    home = deployment.enroll("rotating")
    deployment.keys("create", "rotating", MODELS[0])
    return home


@pytest.fixture
def run(client, deployment):
    """Runs ``blindfit-keys`` in that home and returns its JSON."""

    def run(*arguments: str):
        secret = (
            [] if "--status" in arguments else ["--passphrase-file", deployment.passphrase_file]
        )
        return ask("blindfit-keys", *arguments, "--home", client, *secret)

    return run


def stopped_at(run_arguments, line):
    """Start a rotation, kill it when it says ``line``."""
    process = subprocess.Popen(command(*run_arguments), stderr=subprocess.PIPE, text=True)
    for said in process.stderr:
        if line in said:
            process.send_signal(signal.SIGKILL)
            break
    assert process.wait(60) == -signal.SIGKILL


def states_on_server(run, deployment):
    keys = ask("blindfit-server", "keys", "list", "--home", deployment.server)["keys"]
    return {key["key_id"]: key["state"] for key in keys if key["tenant"] == "rotating"}


def test_what_is_not_due_is_left_alone_and_a_dry_run_changes_nothing(run, client):
    before = (client / "keys" / "manifest.json").read_bytes()
    assert run("rotate", "--all", "--if-older-than", "90d") == {"rotations": []}
    assert run("rotate", "--status") == {"rotations": []}
    (plan,) = run("rotate", "--model", MODELS[0], "--dry-run")["would_rotate"]
    assert plan["models"] == [MODELS[0]] and plan["held_by_server"] == 1
    assert len(plan["steps"]) == 12
    assert (client / "keys" / "manifest.json").read_bytes() == before


def test_a_model_of_the_same_parameters_is_given_the_key_of_another(run):
    shared = run("create", "--model", MODELS[1], "--params-of", MODELS[0])
    assert shared["shared"] is True
    assert shared["key"]["primary_of"] == sorted(MODELS)


def test_a_killed_rotation_is_shown_and_resumed(run, client, deployment):
    old = KeyStore(client / "keys").primary(MODELS[0])
    rotate = ("blindfit-keys", *deployment.key_arguments("rotate", "rotating", MODELS[0]))
    stopped_at(rotate, "proving the key")
    (shown,) = run("rotate", "--status")["rotations"]
    assert (shown["step"], shown["running"]) == ("stage", False)
    assert shown["next"] == "proving the key by an encrypted round trip"
    assert shown["old_key_id"] == old.key_id
    (rotated,) = run("rotate", "--resume", shown["id"])["rotations"]
    assert rotated["new_key_id"] == shown["new_key_id"]
    assert KeyStore(client / "keys").primaries() == dict.fromkeys(MODELS, shown["new_key_id"])
    states = states_on_server(run, deployment)
    assert states[old.key_id] in {"REVOKED", "DELETED"}
    assert states[shown["new_key_id"]] == "ACTIVE"


def test_a_killed_rotation_can_be_given_up(run, client, deployment):
    primary = KeyStore(client / "keys").primary(MODELS[0])
    rotate = ("blindfit-keys", *deployment.key_arguments("rotate", "rotating", MODELS[0]))
    stopped_at(rotate, "proving the key")
    (shown,) = run("rotate", "--status")["rotations"]
    assert run("rotate", "--abort") == {"aborted": shown["id"]}
    assert run("rotate", "--status") == {"rotations": []}
    store = KeyStore(client / "keys")
    assert store.primary(MODELS[0]) == primary
    assert str(store.record(shown["new_key_id"]).state) == "DESTROYED"
    assert states_on_server(run, deployment)[shown["new_key_id"]] in {"REVOKED", "DELETED"}


def test_a_compromised_key_is_refused_marked_and_replaced(run, client, deployment):
    before = KeyStore(client / "keys").primaries()
    old = before[MODELS[0]]
    document = run("compromised", old[:12])
    assert document["key"]["state"] == "COMPROMISED"
    assert document["refused_by_server"] is True
    new = document["new"]["key_id"]
    assert KeyStore(client / "keys").primaries() == dict.fromkeys(before, new)
    assert states_on_server(run, deployment)[old] in {"REVOKED", "DELETED"}


def test_the_identity_is_exchanged_and_the_old_certificate_is_refused(run, client):
    old = load_identity(client)
    document = ask("blindfit-keys", "rotate", "--identity", "--home", client)
    assert document["old_certificate"] == old.credentials.fingerprint
    assert load_identity(client).credentials.fingerprint == document["new_certificate"]
    assert {
        model["model"] for model in ask("blindfit-client", "models", "--home", client)["models"]
    }
    credentials = client / "identity" / "credentials.pem"
    new = credentials.read_bytes()
    credentials.write_bytes(old.credentials.to_bytes())
    with pytest.raises(CommandFailedError, match="PERMISSION_DENIED"):
        ask("blindfit-client", "models", "--home", client)
    credentials.write_bytes(new)
    fresh = ask("blindfit-keys", "rotate", "--identity", "--if-older-than", "90d", "--home", client)
    assert fresh == {"rotated": False}


def test_an_unreachable_server_is_said_with_what_to_ask_the_operator_for(run, client, tmp_path):
    import shutil

    copied = shutil.copytree(client, tmp_path / "copy")
    server = copied / "identity" / "server.json"
    entry = json.loads(server.read_text())
    server.write_text(json.dumps({**entry, "address": "127.0.0.1:9"}))
    key_id = KeyStore(copied / "keys").primary(MODELS[0]).key_id
    done = subprocess.run(
        command("blindfit-keys", "compromised", key_id, "--home", copied),
        capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False,
    )  # fmt: skip
    assert done.returncode == 8
    assert f"blindfit-server keys revoke TENANT {key_id[:12]}" in done.stderr
    assert "--offline" in done.stderr
