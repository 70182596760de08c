"""What clients may try: every attempt is refused with a clear error, and nobody else notices."""

from __future__ import annotations

import os
import signal
import threading

import grpc
import pytest
from fixtures_serving import (
    Client,
    copy_of,
    forge_two_blobs,
    published,
    serving,
    wait_until,
)

from blindfit.channel import ServerChannel
from blindfit.errors import (
    AccessError,
    BlindfitError,
    CiphertextError,
    InputError,
    IntegrityError,
    KeyMismatchError,
    KeyNotUploadedError,
    KeyRevokedError,
    LimitError,
    UnavailableError,
    UnknownModelError,
)
from blindfit.frame import FixedRun, Frame
from blindfit.key_id import compute_key_id
from blindfit.v1 import inference_pb2, inference_pb2_grpc
from blindfit.wire_types import PredictCall
from server_app.authority import load_publisher_key
from server_app.home import create_home
from server_app.registry import Registry
from server_app.tenants import open_tenants

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    template = published(tmp_path_factory.getbasetemp())
    folder = copy_of(template, tmp_path_factory.mktemp("attacked") / "home")
    publish_with_loose_frame(folder)
    return folder


def publish_with_loose_frame(home):
    """Version 2 of `small`: the same circuit, but hardly anything of a ciphertext is checked."""
    from blindfit.signing import sign_manifest

    registry = Registry(home)
    old = registry.open("small", 1)
    staging = registry.root / ".staging-loose"
    staging.mkdir()
    for name in ("client.zip", "server.zip"):
        (staging / name).write_bytes((old.folder / name).read_bytes())
    exact = old.manifest.circuit.input
    loose = Frame(length=exact.length, fixed=(FixedRun(offset=0, content="01"),))
    circuit = old.manifest.circuit.model_copy(update={"input": loose})
    manifest = old.manifest.model_copy(update={"version": 2, "circuit": circuit})
    content = manifest.to_bytes()
    (staging / "manifest.json").write_bytes(content)
    (staging / "manifest.sig").write_bytes(sign_manifest(load_publisher_key(home), content))
    registry.add(staging, manifest)
    registry.promote("small", 1)


@pytest.fixture(scope="module")
def daemon(home):
    with serving(home) as running:
        yield running
        assert running.process.poll() is None, "the daemon did not survive the attacks"


@pytest.fixture(scope="module")
def attacker(daemon, home):
    return Client(home, "attacker")


@pytest.fixture(scope="module")
def keys(attacker):
    return attacker.active_keys("small")


@pytest.fixture(scope="module")
def victim(daemon, home):
    """Another tenant, and a check that it is served."""
    client = Client(home, "victim")
    own = client.active_keys("small")

    def is_served():
        row = own.random_row()
        reply = client.predict(own, own.encrypt(row))
        assert own.scores(reply.ciphertext).shape == (2,)

    is_served()
    client.own, client.is_served = own, is_served
    return client


@pytest.fixture(autouse=True)
def nobody_notices(victim, daemon):
    yield
    victim.is_served()
    assert daemon.process.poll() is None


def worker_pids(daemon):
    return {worker.pid for worker in daemon.workers()}


def same_workers(daemon, before):
    return worker_pids(daemon) == before


# -- ciphertexts ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "change",
    [
        lambda c: c[:-8],
        lambda c: c[: len(c) // 2],
        lambda c: b"",
        lambda c: c + bytes(8),
        lambda c: os.urandom(len(c)),
        lambda c: bytes(len(c)),
        lambda c: c[:48] + os.urandom(16) + c[64:],
        forge_two_blobs,
    ],
    ids=["cut", "half", "empty", "longer", "random", "zeros", "pointers", "two blobs"],
)
def test_a_wrong_ciphertext_is_refused_before_a_worker_sees_it(attacker, keys, daemon, change):
    before = worker_pids(daemon)
    ciphertext = keys.encrypt(keys.random_row())
    with pytest.raises(CiphertextError):
        attacker.predict(keys, change(ciphertext))
    assert same_workers(daemon, before)


def test_a_ciphertext_of_another_model_is_refused(attacker, keys):
    other = attacker.keys_for("other")
    with pytest.raises(CiphertextError):
        attacker.predict(keys, other.encrypt(other.random_row()))


def test_without_the_frame_a_forged_ciphertext_kills_workers_and_nothing_else(
    attacker, keys, daemon, victim
):
    """The test of the test above: the same bytes, and a manifest whose frame hardly checks."""
    before = worker_pids(daemon)
    forged = forge_two_blobs(keys.encrypt(keys.random_row()))
    others = []
    thread = threading.Thread(target=lambda: others.extend(victim.is_served() for _ in range(20)))
    thread.start()
    call = PredictCall("forged", "small", 2, keys.id, forged)
    ((_, reply),) = attacker.channel.predict_stream([call])
    assert isinstance(reply, UnavailableError)
    assert "died" in str(reply)
    thread.join()
    assert len(others) == 20
    assert wait_until(lambda: len(worker_pids(daemon)) == 2)
    # It was retried once: on the other worker, or on what came in place of the first.
    assert worker_pids(daemon) != before


def test_an_oversized_message_is_refused(attacker, keys):
    credentials = grpc.ssl_channel_credentials(attacker.ca, attacker.key, attacker.certificate)
    options = [("grpc.max_send_message_length", -1)]
    request = inference_pb2.PredictRequest(model="small", ciphertext=bytes(5 << 20))
    with (
        grpc.secure_channel(attacker.address, credentials, options=options) as channel,
        pytest.raises(grpc.RpcError) as error,
    ):
        inference_pb2_grpc.InferenceStub(channel).Predict(request, timeout=60)
    assert error.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED


def test_a_request_id_is_bounded(attacker, keys):
    ciphertext = keys.encrypt(keys.random_row())
    for request_id in ("x" * 129, ""):
        call = PredictCall(request_id, "small", 1, keys.id, ciphertext)
        with pytest.raises(InputError, match="request_id"):
            list(attacker.channel.predict_stream([call]))


# -- models and keys -----------------------------------------------------------------------------


def test_an_unknown_model_or_version_is_told(attacker, keys):
    ciphertext = keys.encrypt(keys.random_row())
    for model, version in (("absent", 1), ("small", 99), ("../small", 1), ("small", 0)):
        with pytest.raises(UnknownModelError):
            attacker.channel.predict(model, version, keys.id, ciphertext)


def test_a_model_that_was_not_granted_does_not_exist(daemon, home):
    limited = Client(home, "limited", ["other"])
    assert {line.model for line in limited.channel.list_models()} == {"other"}
    with pytest.raises(UnknownModelError):
        limited.channel.describe_model("small", 1)
    with pytest.raises(UnknownModelError):
        limited.channel.predict("small", 1, "ab" * 32, b"x")


def test_another_tenants_key_is_as_unknown_as_none(attacker, victim):
    ciphertext = victim.own.encrypt(victim.own.random_row())
    told = []
    for key_id in (victim.own.id, "ab" * 32):
        for attempt in (
            lambda k=key_id: attacker.channel.predict("small", 1, k, ciphertext),
            lambda k=key_id: attacker.channel.key_status(k),
            lambda k=key_id: attacker.channel.activate_key(k, None),
            lambda k=key_id: attacker.channel.revoke_key(k),
        ):
            with pytest.raises(KeyNotUploadedError) as error:
                attempt()
            told.append((str(error.value), error.value.hint))
    assert told[:4] == told[4:]


def test_a_revoked_key_is_refused(attacker):
    other = attacker.active_keys("other")
    ciphertext = other.encrypt(other.random_row())
    attacker.predict(other, ciphertext)
    attacker.channel.revoke_key(other.id)
    with pytest.raises(KeyRevokedError):
        attacker.predict(other, ciphertext)
    with pytest.raises(KeyRevokedError):
        attacker.channel.upload_key(other.id, other.params_id, other.salt, other.evaluation)


def test_a_stored_key_that_changed_on_the_servers_disk_is_not_used(attacker, home):
    other = attacker.keys_for("other")
    ciphertext = other.encrypt(other.random_row())
    path = home / "evaluation_keys" / "attacker" / f"{other.id}.keys"
    content = path.read_bytes()
    path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises(IntegrityError, match="evaluation key cannot be loaded"):
        attacker.predict(other, ciphertext, prove=True)
    path.write_bytes(content)
    assert attacker.predict(other, ciphertext, prove=True).key_id == other.id


def test_a_key_of_other_parameters_is_refused(attacker, keys):
    tree = attacker.keys_for("tree")
    ciphertext = keys.encrypt(keys.random_row())
    with pytest.raises(KeyMismatchError):
        attacker.channel.predict("small", 1, tree.id, ciphertext, prove=True)


def test_an_evaluation_key_that_lies_about_its_structure_is_refused(attacker, keys):
    forged = bytearray(keys.evaluation)
    forged[8] ^= 0xFF
    key_id = compute_key_id(keys.salt, forged)
    with pytest.raises(CiphertextError, match="evaluation key"):
        attacker.channel.upload_key(key_id, keys.params_id, keys.salt, bytes(forged))


# -- identity ------------------------------------------------------------------------------------


def listing(address, ca, certificate=None, key=None):
    credentials = grpc.ssl_channel_credentials(ca, key, certificate)
    channel = grpc.secure_channel(address, credentials)
    with ServerChannel(channel) as server:
        return server.list_models()


def test_without_a_certificate_nothing_is_answered(attacker):
    assert listing(attacker.address, attacker.ca, attacker.certificate, attacker.key)
    with pytest.raises(UnavailableError):
        listing(attacker.address, attacker.ca)


def test_a_certificate_of_another_authority_is_refused(attacker, tmp_path):
    from keys.identity import new_identity_request
    from server_app.authority import sign_request

    create_home(tmp_path / "elsewhere", [])
    key, request = new_identity_request("attacker")
    from cryptography.hazmat.primitives import serialization

    certificate = sign_request(tmp_path / "elsewhere", request, "victim", 3600.0)
    pem = certificate.public_bytes(serialization.Encoding.PEM)
    secret = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    with pytest.raises(UnavailableError):
        listing(attacker.address, attacker.ca, pem, secret)


def test_a_certificate_that_the_authority_made_but_nobody_enrolled_is_refused(attacker, home):
    from cryptography.hazmat.primitives import serialization

    from keys.identity import new_identity_request
    from server_app.authority import sign_request

    key, request = new_identity_request("victim")
    certificate = sign_request(home, request, "victim", 3600.0)
    pem = certificate.public_bytes(serialization.Encoding.PEM)
    secret = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    with pytest.raises(AccessError):
        listing(attacker.address, attacker.ca, pem, secret)


def test_a_revoked_tenant_is_refused_at_once_also_on_an_open_stream(daemon, home):
    client = Client(home, "leaver")
    own = client.active_keys("small")
    ciphertext = own.encrypt(own.random_row())
    proceed = threading.Event()

    def calls():
        yield PredictCall("before", "small", 1, own.id, ciphertext)
        proceed.wait(30)
        yield PredictCall("after", "small", 1, own.id, ciphertext)

    stream = client.channel.predict_stream(calls())
    _, first = next(stream)
    assert not isinstance(first, BlindfitError)
    open_tenants(home).revoke("leaver")
    proceed.set()
    _, second = next(stream)
    assert isinstance(second, AccessError)
    with pytest.raises(AccessError):
        client.predict(own, ciphertext)
    with pytest.raises(AccessError):
        client.channel.list_models()


# -- workers -------------------------------------------------------------------------------------


def test_a_worker_that_is_killed_in_mid_run_is_replaced_and_the_row_is_answered(attacker, daemon):
    tree = attacker.active_keys("tree", replaces=active_tree(attacker))
    ciphertext = tree.encrypt(tree.random_row())
    expected = tree.scores(attacker.predict(tree, ciphertext).ciphertext)
    before, replies = worker_pids(daemon), []
    thread = threading.Thread(target=lambda: replies.append(attacker.predict(tree, ciphertext)))
    for worker in daemon.workers():
        worker.cpu_percent()
    thread.start()
    assert wait_until(lambda: any(w.cpu_percent(0.02) > 50 for w in daemon.workers()), 20)
    running = max(daemon.workers(), key=lambda worker: worker.cpu_percent(0.02))
    os.kill(running.pid, signal.SIGKILL)
    thread.join(60)
    assert tree.scores(replies[0].ciphertext) == pytest.approx(expected)
    assert wait_until(lambda: len(worker_pids(daemon)) == 2)
    assert running.pid not in worker_pids(daemon)
    assert len(worker_pids(daemon) & before) == 1


def active_tree(client):
    tree = {line.params_id for line in client.channel.list_models() if line.model == "tree"}
    for status in client.channel.list_keys():
        if status.state == "ACTIVE" and status.params_id in tree:
            return status.key_id
    return None


def test_limits_of_run_time_and_of_rows_in_flight(tmp_path_factory, tmp_path):
    template = published(tmp_path_factory.getbasetemp())
    limits = {"run_timeout": 0.4, "requests_in_flight": 1}
    with serving(copy_of(template, tmp_path / "home", **limits), 1) as daemon:
        client = Client(daemon.home, "hasty")
        tree = client.active_keys("tree")
        before = worker_pids(daemon)
        ciphertext, errors = tree.encrypt(tree.random_row()), []

        def attempt():
            try:
                client.predict(tree, ciphertext)
            except BlindfitError as error:
                errors.append(error)

        threads = [threading.Thread(target=attempt) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        texts = sorted(str(error) for error in errors)
        assert [type(error) for error in errors] == [LimitError] * 3, texts
        assert sum("in flight already" in text for text in texts) == 2
        assert sum("did not finish within" in text for text in texts) == 1
        assert wait_until(lambda: worker_pids(daemon) and not worker_pids(daemon) & before)
