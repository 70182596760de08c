"""Every RPC with what belongs to another: refused, without telling whether it exists.

The list of RPCs is that of the descriptors: one without a case here fails.
"""

from __future__ import annotations

import importlib
import os
import pkgutil
from dataclasses import dataclass, field
from typing import Any

import grpc
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from google.protobuf.message_factory import GetMessageClass
from sqlalchemy import update

import blindfit.v1
from bench import key_server
from bench.hand_made import PARAMS, honest, publish
from bench.server_crash import UploadedKey
from blindfit.key_id import compute_key_id
from blindfit.status import DETAIL_KEY
from blindfit.wire import error_detail_from_bytes
from server_app.authority import sign_request
from server_app.database import Database, certificates
from server_app.home import create_home
from server_app.invitations import invite
from server_app.layout import Layout
from server_app.tenants import open_tenants

pytestmark = pytest.mark.slow

ABSENT = "0123456789abcdef" * 4
SECRET_PARAMS, ABSENT_PARAMS = "cd" * 32, "ef" * 32
KEY_BYTES = 4096


def methods() -> dict[str, Any]:
    """Every RPC of the packages' stubs: its path to its descriptor."""
    found = {}
    for module in pkgutil.iter_modules(blindfit.v1.__path__):
        if module.name.endswith("_pb2"):
            services = importlib.import_module(f"blindfit.v1.{module.name}").DESCRIPTOR
            for service in services.services_by_name.values():
                for method in service.methods:
                    found[f"/{service.full_name}/{method.name}"] = method
    return found


METHODS = methods()
CHUNK = {"offset": 0, "data": b"x"}
ROW = {"request_id": "row", "version": 1, "ciphertext": b"x" * 64}
BEGIN = {"params_id": PARAMS, "salt": bytes(16), "size": KEY_BYTES}


@dataclass(frozen=True)
class Case:
    """Fields of a request that names nothing of another, and which fields could."""

    request: dict[str, Any] = field(default_factory=dict)
    names: frozenset[str] = frozenset()


def case(*names: str, **request: Any) -> Case:
    return Case(request, frozenset(names))


CASES = {
    "/blindfit.v1.Enrollment/Enroll": case("token", csr_pem=b"none"),
    "/blindfit.v1.Models/ListModels": case(),
    "/blindfit.v1.Models/DescribeModel": case("model", version=1),
    "/blindfit.v1.Models/DownloadClientBundle": case("model", version=1),
    "/blindfit.v1.EvaluationKeys/BeginUpload": case("key_id", "params_id", **BEGIN),
    "/blindfit.v1.EvaluationKeys/UploadChunks": case("key_id", chunk=CHUNK),
    "/blindfit.v1.EvaluationKeys/CommitUpload": case("key_id"),
    "/blindfit.v1.EvaluationKeys/GetKeyStatus": case("key_id"),
    "/blindfit.v1.EvaluationKeys/ListKeys": case(),
    "/blindfit.v1.EvaluationKeys/ActivateKey": case("key_id", "replaces"),
    "/blindfit.v1.EvaluationKeys/RevokeKey": case("key_id"),
    "/blindfit.v1.Certificates/RenewCertificate": case(csr_pem=b"none"),
    "/blindfit.v1.Certificates/RevokeCertificate": case("fingerprint"),
    "/blindfit.v1.Inference/Predict": case("model", "key_id", **ROW),
    "/blindfit.v1.Inference/PredictStream": case("model", "key_id", **ROW),
}
TENANT_RPCS = sorted(set(CASES) - {"/blindfit.v1.Enrollment/Enroll"})
NAMING = sorted((path, name) for path in CASES for name in CASES[path].names)


@dataclass(frozen=True)
class Outcome:
    """All that a caller gets: status, text, typed detail, messages."""

    code: grpc.StatusCode
    text: str
    detail: bytes
    replies: tuple[bytes, ...]

    def without(self, name: str) -> Outcome:
        """With what the caller itself had named taken out."""
        blank = "-" * len(name)
        raw, hidden = name.encode(), blank.encode()
        return Outcome(
            self.code,
            self.text.replace(name, blank),
            self.detail.replace(raw, hidden),
            tuple(reply.replace(raw, hidden) for reply in self.replies),
        )


def call(channel: grpc.Channel, path: str, **fields: Any) -> Outcome:
    """One call of ``path``, of whatever kind it is."""
    method = METHODS[path]
    request = GetMessageClass(method.input_type)(**(CASES[path].request | fields))
    stream = channel.stream_stream(path, type(request).SerializeToString, bytes)
    answers = stream(iter([request]), timeout=20)
    try:
        replies = tuple(answers)
    except grpc.RpcError:
        replies = ()
    metadata = dict(answers.trailing_metadata() or ())
    return Outcome(answers.code(), answers.details(), metadata.get(DETAIL_KEY, b""), replies)


def reason(outcome: Outcome) -> str:
    found = error_detail_from_bytes(outcome.detail)
    return found.reason if found else ""


@dataclass
class World:
    """A server, its tenants, and what each of them has."""

    home: Any
    server: key_server.KeyServer
    people: dict[str, key_server.Person]
    keys: dict[str, str]
    used_token: str

    def channel(self, person: key_server.Person) -> grpc.Channel:
        credentials = grpc.ssl_channel_credentials(person.ca, person.key, person.certificate)
        return grpc.secure_channel(self.server.address, credentials)

    def call(self, name: str, path: str, **fields: Any) -> Outcome:
        """As one of the people, or as anybody where no certificate is asked for."""
        if path.startswith("/blindfit.v1.Enrollment/"):
            credentials = grpc.ssl_channel_credentials(self.people[name].ca)
            channel = grpc.secure_channel(self.server.enroll_address, credentials)
        else:
            channel = self.channel(self.people[name])
        with channel:
            return call(channel, path, **fields)


def fingerprint(person: key_server.Person) -> str:
    certificate = x509.load_pem_x509_certificate(person.certificate)
    return certificate.fingerprint(hashes.SHA256()).hex()


def signed(home, name: str, ca: bytes, lifetime: float = 3600.0) -> key_server.Person:
    """Somebody with a certificate of the authority in ``home``, whom nobody enrolled."""
    key, request = key_server.request_certificate(name)
    certificate = sign_request(home, request, name, lifetime)
    pem = certificate.public_bytes(serialization.Encoding.PEM)
    return key_server.Person(name, pem, key, ca)


def give_key(world: World, name: str) -> str:
    """An active key of a tenant."""
    content, salt = honest(KEY_BYTES), os.urandom(16)
    key_id = compute_key_id(salt, content)
    with world.people[name].connect(world.server.address) as channel:
        channel.upload_key(key_id, PARAMS, salt, content)
        channel.activate_key(key_id, None)
    return key_id


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    home = key_server.new_home(tmp_path_factory.mktemp("matrix") / "home")
    publish(home, "digits", key_bytes=KEY_BYTES)
    publish(home, "secret", params_id=SECRET_PARAMS, key_bytes=KEY_BYTES)
    names = {name: key_server.enroll(home, name) for name in ("victim", "gone", "lapsed", "old")}
    names["attacker"] = key_server.enroll(home, "attacker", ["digits"])
    ca = names["victim"].ca
    create_home(home.parent / "elsewhere", [])
    names["foreign"] = signed(home.parent / "elsewhere", "victim", ca)
    names["stranger"] = signed(home, "victim", ca)
    names["expired"] = signed(home, "victim", ca, lifetime=-60.0)
    token = invite(home, "newcomer").token
    open_tenants(home).enroll(token, key_server.request_certificate("newcomer")[1], "")
    with key_server.serving(home) as server:
        built = World(home, server, names, {}, token)
        built.keys = {name: give_key(built, name) for name in ("victim", "attacker")}
        open_tenants(home).revoke("gone")
        change(home, names["lapsed"], state="revoked")
        change(home, names["old"], expires=1.0)
        yield built


def change(home, person: key_server.Person, **values: Any) -> None:
    database = Database.open(Layout(home).database)
    with database.writing() as connection:
        which = certificates.c.fingerprint == fingerprint(person)
        assert connection.execute(update(certificates).where(which).values(values)).rowcount == 1
    database.close()


def test_every_rpc_has_a_case_that_names_all_that_could_be_anothers():
    assert set(CASES) == set(METHODS)
    naming = {"key_id", "replaces", "model", "params_id", "fingerprint", "token"}
    for path, method in METHODS.items():
        fields = {item.name for item in method.input_type.fields}
        assert CASES[path].names == fields & naming, path


# -- another's key, model, certificate and invitation ----------------------------------------------


@pytest.mark.parametrize(("path", "name"), NAMING)
def test_what_is_anothers_gets_the_very_answer_of_what_does_not_exist(world, path, name):
    theirs, absent = pair(world, name)
    rest = own_fields(world, path, name)
    told = world.call("attacker", path, **rest | {name: theirs})
    untold = world.call("attacker", path, **rest | {name: absent})
    assert told.without(theirs) == untold.without(absent)
    if (path, name) == ("/blindfit.v1.EvaluationKeys/BeginUpload", "key_id"):
        forget(world, theirs, absent)  # an upload of one's own, whoever else has that key
    else:
        assert refused(path, told), told
    assert world.keys["victim"] in active_keys(world, "victim")


def pair(world, name: str) -> tuple[str, str]:
    """A value that is another's, and one that is nobody's, of equal length."""
    return {
        "key_id": (world.keys["victim"], ABSENT),
        "replaces": (world.keys["victim"], ABSENT),
        "model": ("secret", "absent"),
        "params_id": (SECRET_PARAMS, ABSENT_PARAMS),
        "fingerprint": (fingerprint(world.people["victim"]), ABSENT),
        "token": (world.used_token, f"{'0' * 16}.{world.used_token.partition('.')[2]}"),
    }[name]


def own_fields(world, path: str, name: str) -> dict[str, str]:
    """The caller's own in every other field that could be another's."""
    own = {"key_id": world.keys["attacker"], "model": "digits", "params_id": PARAMS}
    if name == "replaces":
        own["key_id"] = staged_key(world)
    return {key: value for key, value in own.items() if key in CASES[path].names - {name}}


def staged_key(world) -> str:
    """A key of the attacker that waits to be activated."""
    key = UploadedKey(content := honest(KEY_BYTES), bytes(16), compute_key_id(bytes(16), content))
    with world.people["attacker"].connect(world.server.address) as channel:
        channel.upload_key(key.key_id, PARAMS, key.salt, key.content)
    return key.key_id


def forget(world, *key_ids: str) -> None:
    with world.people["attacker"].connect(world.server.address) as channel:
        for key_id in key_ids:
            channel.revoke_key(key_id)


def refused(path: str, outcome: Outcome) -> bool:
    """Whether a call failed on purpose; on a stream of rows each row has its own error."""
    if path.endswith("/PredictStream"):
        reply = GetMessageClass(METHODS[path].output_type).FromString(outcome.replies[0])
        return reply.WhichOneof("result") == "error" and bool(reply.error.reason)
    return outcome.code != grpc.StatusCode.OK and bool(reason(outcome))


def active_keys(world, name: str) -> list[str]:
    with world.people[name].connect(world.server.address) as channel:
        return [key.key_id for key in channel.list_keys() if key.state == "ACTIVE"]


def test_lists_hold_ones_own_and_nothing_else(world):
    with world.people["attacker"].connect(world.server.address) as channel:
        assert {model.model for model in channel.list_models()} == {"digits"}
        known = {key.key_id for key in channel.list_keys()}
    assert world.keys["attacker"] in known
    assert world.keys["victim"] not in known


def test_with_ones_own_the_same_rows_pass_every_check_but_the_last(world):
    """The test of the tests above: these requests fail for no other reason."""
    own = {"model": "digits", "key_id": world.keys["attacker"], "ciphertext": honest()}
    outcome = world.call("attacker", "/blindfit.v1.Inference/Predict", **own)
    assert (outcome.code, outcome.text) == (
        grpc.StatusCode.UNAVAILABLE,
        "this server has no workers",
    )
    status = world.call(
        "attacker", "/blindfit.v1.EvaluationKeys/GetKeyStatus", key_id=world.keys["attacker"]
    )
    assert status.code == grpc.StatusCode.OK


# -- certificates ----------------------------------------------------------------------------------


@pytest.mark.parametrize("path", TENANT_RPCS)
@pytest.mark.parametrize("person", ["gone", "lapsed", "old", "stranger"])
def test_a_certificate_that_is_nobodys_now_opens_no_rpc(world, path, person):
    outcome = world.call(person, path, **victims_fields(world, path))
    assert outcome.code == grpc.StatusCode.PERMISSION_DENIED
    assert outcome.replies == ()
    assert error_detail_from_bytes(outcome.detail).details == {"action": "enroll"}
    assert outcome == world.call("stranger", path)


@pytest.mark.parametrize("path", TENANT_RPCS)
@pytest.mark.parametrize("person", ["foreign", "expired"])
def test_a_certificate_of_another_authority_or_time_gets_no_connection(world, path, person):
    outcome = world.call(person, path, **victims_fields(world, path))
    assert outcome.code == grpc.StatusCode.UNAVAILABLE
    assert (outcome.detail, outcome.replies) == (b"", ())


def victims_fields(world, path: str) -> dict[str, str]:
    own = {"key_id": world.keys["victim"], "model": "digits"}
    return {key: value for key, value in own.items() if key in CASES[path].names}
