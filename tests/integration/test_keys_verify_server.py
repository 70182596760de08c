"""`blindfit-keys verify` and `revoke` against a real server."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from fixtures_keys import PASSPHRASE, make_keyset
from fixtures_store import new_store

from bench.hand_made import PARAMS, honest, publish
from bench.key_server import new_home, serving
from blindfit.channel import ServerChannel, enroll
from blindfit.files import write_exclusive
from keys.identity import ServerEntry, load_identity, new_identity_request, save_identity
from server_app.authority import load_publisher_public
from server_app.invitations import invite
from server_app.layout import Layout

ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    home = new_home(tmp_path_factory.mktemp("server") / "home")
    publish(home)
    with serving(home) as running:
        yield home, running


@pytest.fixture
def home(server, tmp_path):
    """A home that is enrolled as a tenant of its own."""
    server_home, running = server
    name = tmp_path.name.replace("_", "-")[:30].strip("-")
    private_key, request = new_identity_request(name)
    ca_pem = Layout(server_home).ca_certificate.read_bytes()
    token = invite(server_home, name).token
    enrolled = enroll(running.enroll_address, ca_pem, token, request)
    publisher = load_publisher_public(server_home)
    save_identity(
        tmp_path,
        private_key,
        certificate_pem=enrolled.certificate_pem,
        ca_pem=ca_pem,
        server=ServerEntry(running.address, name, publisher, None),
    )
    write_exclusive(tmp_path / "passphrase", PASSPHRASE + b"\n")
    return tmp_path


def connect(home) -> ServerChannel:
    identity = load_identity(home)
    return ServerChannel.connect(
        identity.address, identity.ca_pem, identity.certificate_pem, identity.key_pem
    )


def primary_on_both(store, home, replaces=None):
    keyset = make_keyset(evaluation_keys=honest(), params_id=PARAMS)
    store.create(keyset, model="digits")
    with connect(home) as channel:
        channel.upload_key(keyset.key_id, PARAMS, keyset.salt, bytes(keyset.evaluation_keys))
        channel.activate_key(keyset.key_id, replaces)
    store.promote("digits", keyset.key_id)
    return keyset.key_id


def run(home, *arguments):
    command = [sys.executable, "-m", "keys.cli", *arguments, "--json"]
    done = subprocess.run(
        [*command, "--home", str(home), "--passphrase-file", str(home / "passphrase")],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={**os.environ},
    )
    return done.returncode, json.loads(done.stdout), done.stderr


def test_a_store_that_agrees_with_the_server_is_verified(home):
    store = new_store(home / "keys")
    old = primary_on_both(store, home)
    primary_on_both(store, home, replaces=old)
    code, document, _ = run(home, "verify")
    assert (code, document["findings"]) == (0, [])
    local = ["signatures", "audit log", "files", "rotations", "keysets"]
    assert document["checked"] == [*local, "server"]


def test_revoking_reaches_the_server_first_and_leaves_both_in_agreement(home):
    store = new_store(home / "keys")
    key_id = primary_on_both(store, home)
    code, document, _ = run(home, "revoke", key_id[:12])
    assert (code, document["key"]["state"]) == (0, "DEACTIVATED")
    with connect(home) as channel:
        assert channel.key_status(key_id).state in {"REVOKED", "DELETED"}
    assert run(home, "verify")[:2][1]["findings"] == []


def test_a_folder_that_was_put_back_is_found_by_what_the_server_holds(home):
    store = new_store(home / "keys")
    old = primary_on_both(store, home)
    shutil.copytree(home / "keys", home / "copy")
    new = primary_on_both(store, home, replaces=old)
    shutil.rmtree(home / "keys")
    (home / "copy").rename(home / "keys")
    code, document, _ = run(home, "verify")
    assert code == 5
    told = {finding["subject"]: finding["problem"] for finding in document["findings"]}
    assert told.keys() == {f"key {old[:12]}", f"key {new[:12]}"}
    assert "RETIRING" in told[f"key {old[:12]}"]
    assert run(home, "verify", "--offline")[0] == 0


def test_a_key_that_is_only_on_the_server_is_named(home):
    store = new_store(home / "keys")
    key_id = primary_on_both(store, home)
    shutil.rmtree(home / "keys")
    code, document, _ = run(home, "verify")
    (finding,) = document["findings"]
    assert (code, finding["subject"]) == (5, f"key {key_id[:12]}")
    assert "not in this store" in finding["problem"]
