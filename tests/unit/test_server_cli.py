"""`blindfit-server`: what its commands print and change."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from fixtures_server import open_tenants, publish, request_for
from sqlalchemy import insert
from typer.testing import CliRunner

from blindfit.errors import InputError, NotFoundError
from blindfit.invitation import load_invitation
from server_app.cli import app
from server_app.database import Database, evaluation_keys
from server_app.invitations import invite
from server_app.layout import Layout
from server_app.sizes import parse_size


@pytest.fixture
def home(tmp_path):
    call("init", str(tmp_path / "home"))
    return tmp_path / "home"


def call(*arguments):
    """The JSON document that a command prints; its error is raised."""
    result = CliRunner().invoke(app, [*arguments, "--json"])
    if result.exception is not None:
        raise result.exception
    return json.loads(result.stdout)


def test_init_tells_the_fingerprint_to_compare(tmp_path):
    document = call("init", str(tmp_path / "home"), "--host", "fhe.example.org")
    assert document["home"] == str(tmp_path / "home")
    assert len(document["publisher_key"]) == 64
    assert document["publisher_fingerprint"].replace(":", "").isalnum()


def test_an_invitation_is_a_private_file_that_enrolls(home, tmp_path):
    path = tmp_path / "clinic.invitation"
    options = ["--home", str(home), "--out", str(path), "--model", "digits"]
    document = call("tenants", "invite", "clinic", *options)
    assert document["file"] == str(path)
    assert path.stat().st_mode & 0o777 == 0o600
    assert load_invitation(path).token not in json.dumps(document)
    open_tenants(home).enroll(load_invitation(path).token, request_for(), "")
    (line,) = call("tenants", "list", "--home", str(home))["tenants"]
    assert (line["tenant"], line["state"], line["models"]) == ("clinic", "active", ["digits"])
    assert line["certificates"] == 1


def test_an_invitation_file_is_never_overwritten(home, tmp_path):
    path = tmp_path / "clinic.invitation"
    path.write_text("precious")
    with pytest.raises(InputError, match="exists already"):
        call("tenants", "invite", "clinic", "--home", str(home), "--out", str(path))
    assert path.read_text() == "precious"


def test_revoking_a_tenant_shows_in_the_list(home):
    open_tenants(home).enroll(invite(home, "clinic").token, request_for(), "")
    assert call("tenants", "revoke", "clinic", "--home", str(home))["state"] == "revoked"
    assert call("tenants", "list", "--home", str(home))["tenants"][0]["state"] == "revoked"
    with pytest.raises(NotFoundError):
        call("tenants", "revoke", "nobody", "--home", str(home))


def test_a_tenants_quota_is_shown_changed_and_reset(home):
    open_tenants(home).enroll(invite(home, "clinic").token, request_for(), "")
    ask = ["tenants", "quota", "clinic", "--home", str(home)]
    default = call(*ask)
    assert default["keys"] == {"used": 0, "limit": 32, "own": False}
    assert default["bytes"]["limit"] == 4 << 30
    changed = call(*ask, "--keys", "3", "--bytes", "500M")
    assert changed["keys"] == {"used": 0, "limit": 3, "own": True}
    assert changed["bytes"] == {"used": 0, "limit": 500 << 20, "own": True}
    assert call(*ask, "--generations", "2")["keys"]["limit"] == 3
    assert call(*ask)["generations"] == {"limit": 2, "own": True}
    assert call(*ask, "--reset") == default
    with pytest.raises(InputError, match="is not a size"):
        call(*ask, "--bytes", "much")
    with pytest.raises(NotFoundError):
        call("tenants", "quota", "nobody", "--home", str(home))


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("0", 0),
        ("4096", 4096),
        ("1K", 1024),
        ("500MB", 500 << 20),
        ("2GiB", 2 << 30),
        ("1 t", 1 << 40),
    ],
)
def test_sizes_are_powers_of_1024(text, size):
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "-1", "1.5G", "G", "10X", "1e9", "９", "1" * 16])
def test_what_is_no_size_is_refused(text):
    with pytest.raises(InputError, match="is not a size"):
        parse_size(text)


def test_models_are_listed_shown_promoted_and_retired(home):
    publish(home)
    publish(home)
    at = ["--home", str(home)]
    states = [line["state"] for line in call("models", "list", *at)["models"]]
    assert states == ["served", "current"]
    assert call("models", "show", "digits", *at)["version"] == 2
    call("models", "promote", "digits", "1", *at)
    call("models", "retire", "digits", "2", *at)
    states = [line["state"] for line in call("models", "list", *at)["models"]]
    assert states == ["current", "retired"]
    assert call("models", "show", "digits", "2", *at)["state"] == "retired"


def test_keys_are_listed_and_collected_on_an_empty_server(home):
    assert call("keys", "list", "--home", str(home)) == {"keys": []}
    assert call("keys", "gc", "--home", str(home))["deleted"] == 0


def test_the_command_ends_with_the_code_of_its_error(tmp_path):
    program = "from server_app.cli import main; main()"
    command = [sys.executable, "-c", program, "models", "list", "--home", str(tmp_path), "--json"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 2
    assert json.loads(done.stdout)["error"]["reason"] == "INVALID_INPUT"
    assert "blindfit-server init" in done.stderr


def test_the_command_line_loads_nothing_heavy():
    code = (
        "import server_app.cli, sys; "
        "heavy = {'grpc', 'numpy', 'pydantic', 'sqlalchemy', 'cryptography', 'flwr', 'concrete'};"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_an_operator_revokes_a_key_by_its_first_digits(home):
    open_tenants(home).enroll(invite(home, "clinic").token, request_for(), "")
    database = Database.open(Layout.existing(home).database)
    with database.writing() as connection:
        for key_id in ("a1" + "0" * 62, "a2" + "0" * 62):
            row = {"tenant": "clinic", "key_id": key_id, "params_id": "0" * 64, "salt": b""}
            row |= {"size": 1, "state": "ACTIVE" if key_id[1] == "1" else "STAGED", "changed": 0.0}
            connection.execute(insert(evaluation_keys).values(row))
    with pytest.raises(InputError, match="2 keys of clinic begin with 'a'"):
        call("keys", "revoke", "clinic", "a", "--home", str(home))
    with pytest.raises(NotFoundError, match="no key that begins with 'b'"):
        call("keys", "revoke", "clinic", "b", "--home", str(home))
    document = call("keys", "revoke", "clinic", "a1", "--home", str(home))
    assert document == {"tenant": "clinic", "key_id": "a1" + "0" * 62, "state": "REVOKED"}
