"""The daemon at work: real circuits, real gRPC with TLS, real processes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import grpc
import numpy as np
import psutil
import pytest
from fixtures_serving import (
    Client,
    copy_of,
    publish_random,
    published,
    serving,
    wait_until,
)
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from blindfit.errors import (
    BlindfitError,
    CiphertextError,
    KeyRevokedError,
    KeyStagedError,
    UnavailableError,
)
from blindfit.wire_types import PredictCall

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def template(tmp_path_factory):
    return published(tmp_path_factory.getbasetemp())


@pytest.fixture(scope="module")
def home(template, tmp_path_factory):
    return copy_of(template, tmp_path_factory.mktemp("serving") / "home")


@pytest.fixture(scope="module")
def daemon(home):
    with serving(home) as running:
        yield running


@pytest.fixture(scope="module")
def client(daemon, home):
    return Client(home, "clinic")


@pytest.fixture(scope="module")
def keys(client):
    return {model: client.active_keys(model) for model in ("small", "tree")}


def clear_model(home, model):
    """The clear model's class probabilities for one row."""
    from blindfit.model_file import read_model

    return read_model(home / "registry" / model / "1" / "model.skops")


def calls_for(keys, rows):
    return [
        PredictCall(f"row {index}", keys.model, keys.version, keys.id, keys.encrypt(row))
        for index, row in enumerate(rows)
    ]


def test_encrypted_predictions_are_those_of_the_clear_model(client, keys, home):
    linear = clear_model(home, "small")
    for seed in range(5):
        row = keys["small"].random_row(seed)
        reply = client.predict(keys["small"], keys["small"].encrypt(row))
        score = keys["small"].scores(reply.ciphertext)
        assert score == pytest.approx(linear.predict_proba([row])[0], abs=0.05)
        assert reply.run_seconds > 0


def test_a_circuit_with_bootstraps_decides_as_in_clear(client, keys):
    tree = keys["tree"]
    for first, expected in ((0.9, 1), (0.1, 0)):
        row = np.array([first, 0.5, 0.5, 0.5])
        scores = tree.scores(client.predict(tree, tree.encrypt(row)).ciphertext)
        assert scores.argmax() == expected


def test_a_stream_answers_every_row_with_its_own_result(client, keys, home):
    small, linear = keys["small"], clear_model(home, "small")
    rows = np.random.default_rng(3).random((40, 6))
    answers = list(client.channel.predict_stream(calls_for(small, rows)))
    assert sorted(call.request_id for call, _ in answers) == sorted(f"row {i}" for i in range(40))
    for call, reply in answers:
        row = rows[int(call.request_id.split()[1])]
        expected = linear.predict_proba([row])[0]
        assert small.scores(reply.ciphertext) == pytest.approx(expected, abs=0.05)


def test_a_bad_row_in_a_stream_is_told_and_the_others_are_answered(client, keys):
    calls = calls_for(keys["small"], np.random.default_rng(4).random((6, 6)))
    bad = calls[2]
    calls[2] = PredictCall(bad.request_id, bad.model, bad.version, bad.key_id, bad.ciphertext[:-8])
    answers = {call.request_id: reply for call, reply in client.channel.predict_stream(calls)}
    assert isinstance(answers.pop("row 2"), CiphertextError)
    assert len(answers) == 5
    assert not any(isinstance(reply, BlindfitError) for reply in answers.values())


def test_the_daemon_itself_never_loads_concrete(daemon, client, keys):
    client.predict(keys["small"], keys["small"].encrypt(keys["small"].random_row()))
    assert "oncrete" not in mapped(daemon.pid)
    assert "torch" not in mapped(daemon.pid)
    assert len(daemon.workers()) == 2
    for worker in daemon.workers():
        assert "oncrete" in mapped(worker.pid)
    for process in (psutil.Process(daemon.pid), *daemon.workers()):
        assert process.rlimit(psutil.RLIMIT_CORE) == (0, 0)
        assert Path(f"/proc/{process.pid}/coredump_filter").read_text().strip() == "00000000"


def mapped(pid):
    return Path(f"/proc/{pid}/maps").read_text()


def test_linear_rows_run_on_one_thread_and_rows_with_bootstraps_on_several(template, tmp_path):
    with serving(copy_of(template, tmp_path / "home"), 1) as daemon:
        client = Client(daemon.home, "threads")
        assert threads_at_work(daemon, client, client.active_keys("small"), 150) == 1
        if os.cpu_count() > 1:
            assert threads_at_work(daemon, client, client.active_keys("tree"), 4) > 1


def threads_at_work(daemon, client, keys, rows):
    """How many threads of the only worker did a quarter or more of what the busiest did."""
    (worker,) = daemon.workers()
    ciphertext = keys.encrypt(keys.random_row())
    client.predict(keys, ciphertext)  # loads circuit and key
    time.sleep(0.5)  # the compiler's threads come to rest
    before = cpu_by_thread(worker)
    for _ in range(rows):
        client.predict(keys, ciphertext)
    spent = [after - before.get(name, 0) for name, after in cpu_by_thread(worker).items()]
    return sum(seconds >= max(spent) / 4 for seconds in spent)


def cpu_by_thread(process):
    return {thread.id: thread.user_time + thread.system_time for thread in process.threads()}


def test_a_model_published_beside_the_running_daemon_is_served(client, home):
    from sklearn.linear_model import LogisticRegression

    before = {line.version for line in client.channel.list_models() if line.model == "other"}
    publish_random(home, "other", LogisticRegression(C=0.1))
    lines = [line for line in client.channel.list_models() if line.model == "other"]
    assert {line.version for line in lines} - before == {2}
    assert [line.version for line in lines if line.current] == [2]
    fresh = client.active_keys("other")
    assert fresh.version == 2
    client.predict(fresh, fresh.encrypt(fresh.random_row()))


def test_during_a_rotation_rows_of_both_keys_are_answered(client):
    old = client.active_keys("other", replaces=active(client, "other"))
    new = client.keys_for("other")
    row = new.encrypt(new.random_row())
    with pytest.raises(KeyStagedError):
        client.predict(new, row)
    assert client.predict(new, row, prove=True).key_id == new.id
    client.channel.activate_key(new.id, old.id)
    assert client.channel.key_status(old.id).state == "RETIRING"
    client.predict(old, old.encrypt(old.random_row()))
    client.predict(new, row)
    client.channel.revoke_key(old.id)
    with pytest.raises(KeyRevokedError):
        client.predict(old, old.encrypt(old.random_row()))


def active(client, model):
    params = {line.params_id for line in client.channel.list_models() if line.model == model}
    for status in client.channel.list_keys():
        if status.state == "ACTIVE" and status.params_id in params:
            return status.key_id
    return None


def test_a_large_key_goes_up_in_chunks_and_is_taken_once(client):
    keys = client.keys_for("tree")
    size = len(keys.evaluation)
    assert size > 4 << 20
    again = client.channel.upload_key(keys.id, keys.params_id, keys.salt, keys.evaluation)
    assert (again.state, again.received) == ("STAGED", size)


def test_health_and_reflection_answer_on_both_ports(daemon, client):
    open_port = grpc.ssl_channel_credentials(client.ca)
    own = grpc.ssl_channel_credentials(client.ca, client.key, client.certificate)
    for address, credentials, service in (
        (daemon.address, own, "blindfit.v1.Inference"),
        (daemon.enroll_address, open_port, "blindfit.v1.Enrollment"),
    ):
        with grpc.secure_channel(address, credentials) as channel:
            health = health_pb2_grpc.HealthStub(channel)
            for name in ("", service):
                reply = health.Check(health_pb2.HealthCheckRequest(service=name), timeout=5)
                assert reply.status == health_pb2.HealthCheckResponse.SERVING
            ask = reflection_pb2.ServerReflectionRequest(list_services="")
            stub = reflection_pb2_grpc.ServerReflectionStub(channel)
            (listed,) = stub.ServerReflectionInfo(iter([ask]), timeout=5)
            names = {item.name for item in listed.list_services_response.service}
            assert service in names
    assert "blindfit.v1.Inference" not in names


def test_the_log_names_tenant_model_status_and_time_and_nothing_secret(daemon, client, keys):
    ciphertext = keys["small"].encrypt(keys["small"].random_row())
    client.predict(keys["small"], ciphertext)
    line = "tenant=clinic method=Predict model=small status=OK ms="
    assert wait_until(lambda: line in daemon.text())
    assert ciphertext[64:96].hex() not in daemon.text()
    assert "Traceback" not in daemon.text()


def test_a_second_daemon_on_the_same_home_is_refused(daemon, home):
    program = "from server_app.cli import main; main()"
    command = [sys.executable, "-c", program, "serve", "--home", str(home)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 8
    assert "another daemon serves" in done.stderr


def test_sigterm_answers_accepted_rows_and_ends_in_time(template, tmp_path):
    with serving(copy_of(template, tmp_path / "home")) as daemon:
        client = Client(daemon.home, "drained")
        small = client.active_keys("small")
        ciphertext = small.encrypt(small.random_row())
        sent = []

        def endless():
            while True:
                call = PredictCall(f"row {len(sent)}", "small", 1, small.id, ciphertext)
                sent.append(call)
                yield call

        answered = 0
        # The reason may be lost where the connection ends while this side still sends.
        with pytest.raises(UnavailableError, match=r"shutting down|cannot be reached"):
            for _, reply in client.channel.predict_stream(endless()):
                assert not isinstance(reply, BlindfitError), reply
                answered += 1
                if answered == 20:
                    os.kill(daemon.pid, signal.SIGTERM)
        family = daemon.family() if psutil.pid_exists(daemon.pid) else []
        started = time.monotonic()
        assert daemon.process.wait(35) == 0
        assert time.monotonic() - started < 10
        assert answered >= 20
        assert wait_until(lambda: not any(process.is_running() for process in family))
        assert not (daemon.home / "daemon.json").exists()
        assert not (daemon.home / "workers").exists()


def test_sigterm_does_not_wait_for_calls_that_only_wait(template, tmp_path):
    with serving(copy_of(template, tmp_path / "home"), 1) as daemon:
        client = Client(daemon.home, "watcher")
        open_port = grpc.ssl_channel_credentials(client.ca)
        own = grpc.ssl_channel_credentials(client.ca, client.key, client.certificate)
        held, asked = [], threading.Event()
        ask = reflection_pb2.ServerReflectionRequest(list_services="")

        def asks_and_waits():
            yield ask
            asked.wait(60)

        for address, credentials in ((daemon.address, own), (daemon.enroll_address, open_port)):
            channel = grpc.secure_channel(address, credentials)
            stream = reflection_pb2_grpc.ServerReflectionStub(channel).ServerReflectionInfo(
                asks_and_waits()
            )
            next(stream)
            watching = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest())
            held += [channel, stream, watching]
        started = time.monotonic()
        os.kill(daemon.pid, signal.SIGTERM)
        assert daemon.process.wait(35) == 0
        assert time.monotonic() - started < 12
        asked.set()


def is_busy(process):
    try:
        return process.cpu_percent(0.05) > 20
    except psutil.NoSuchProcess:
        return False


def test_ctrl_c_in_the_terminal_lets_the_workers_finish(template, tmp_path):
    """A terminal sends SIGINT to the whole group, workers and forkserver included."""
    with serving(copy_of(template, tmp_path / "home"), 1) as daemon:
        client = Client(daemon.home, "interrupted")
        tree = client.active_keys("tree")
        ciphertext, replies = tree.encrypt(tree.random_row()), []
        thread = threading.Thread(target=lambda: replies.append(client.predict(tree, ciphertext)))
        thread.start()
        assert wait_until(lambda: any(map(is_busy, daemon.workers())))
        for process in [*daemon.family(), psutil.Process(daemon.pid)]:
            process.send_signal(signal.SIGINT)
        thread.join(30)
        assert len(replies) == 1
        assert daemon.process.wait(35) == 0


def test_a_killed_daemon_leaves_no_process_behind_even_in_mid_run(template, tmp_path):
    with serving(copy_of(template, tmp_path / "home")) as daemon:
        client = Client(daemon.home, "orphaned")
        tree = client.active_keys("tree")
        ciphertext = tree.encrypt(tree.random_row())

        def attempt():
            with pytest.raises(BlindfitError):
                for _ in range(50):
                    client.predict(tree, ciphertext)

        thread = threading.Thread(target=attempt)
        thread.start()
        assert wait_until(lambda: any(map(is_busy, daemon.workers())))
        family = daemon.family()
        assert len(family) >= 4
        daemon.process.kill()
        daemon.process.wait()
        assert wait_until(lambda: not any(process.is_running() for process in family), 5)
        client.channel.close()
        thread.join(60)
    with serving(daemon.home) as restarted:  # what was left is swept
        assert len(list((restarted.home / "workers").iterdir())) == 2
