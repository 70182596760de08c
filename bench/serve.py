"""Serving against calling ``FHEModelServer.run`` directly, on the same ciphertext."""

from __future__ import annotations

import statistics
import threading
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from sklearn.linear_model import LogisticRegression

from bench.entries import Entry
from blindfit.bundle import fetch_bundle
from blindfit.channel import ServerChannel
from blindfit.fhe_runtime import load_concrete
from blindfit.schema import Schema
from demo.deployment import PASSPHRASE, Deployment
from keys.cipher import Cipher
from keys.connecting import connect
from keys.identity import load_identity
from keys.unlocking import unlock_store
from server_app.publish import publish_estimator

_MODEL = "linear784"
_WARM_UP = 5
_LATENCIES = 60
_SECONDS = 15.0  # of each throughput measurement
_TURNS = 2
_MEMORY_PROMISE = 700.0  # MB, for the daemon, its forkserver and two workers


@dataclass(frozen=True)
class Target:
    """One encrypted row, and the two ways to have it computed."""

    direct: Callable[[], bytes]
    remote: Callable[[ServerChannel], bytes]
    home: Path


def measure_serve(work: Path, data: Path | None) -> list[Entry]:
    """Latency, throughput and memory of a linear model of 784 features and 10 classes."""
    del data
    with Deployment(work / "deployment", workers=2) as deployment:
        publish_estimator(deployment.server, _MODEL, _schema(), _model())
        home = deployment.enroll("client")
        deployment.keys("create", "client", _MODEL)
        target = _target(deployment, home)
        daemon = deployment.daemon
        if daemon is None:
            raise RuntimeError("the daemon is not running")
        return [_latency(target), _throughput(target), _memory(daemon.process.pid)]


def _schema() -> Schema:
    features = [{"name": "x{0..783}", "kind": "number", "min": 0, "max": 1}]
    return Schema.model_validate({"target": "y", "classes": list(range(10)), "features": features})


def _model() -> Any:
    generator = np.random.default_rng(0)
    X, y = generator.random((200, 784)), np.arange(200) % 10
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # any coefficients do
        return LogisticRegression(max_iter=5).fit(X, y)


def _target(deployment: Deployment, home: Path) -> Target:
    load_concrete()
    from concrete.ml.deployment import FHEModelServer

    identity = load_identity(home)
    store = unlock_store(home, PASSPHRASE.encode)
    primary = store.primary(_MODEL)
    if primary is None:
        raise RuntimeError("the client has no keys")
    keyset = store.open(primary.key_id)
    with connect(identity) as channel:
        bundle = fetch_bundle(channel, home, identity.publisher_key, _MODEL)
    cipher = Cipher(bundle.folder, keyset)
    ciphertext = cipher.encrypt(np.random.default_rng(1).random(784))
    server = FHEModelServer(str(deployment.server / "registry" / _MODEL / "1"))
    version = bundle.manifest.version

    def direct() -> bytes:
        result: bytes = server.run(ciphertext, keyset.evaluation_keys)
        return result

    def remote(channel: ServerChannel) -> bytes:
        return channel.predict(_MODEL, version, keyset.key_id, ciphertext).ciphertext

    with connect(identity) as channel:
        same = cipher.decrypt(remote(channel)).quantized == cipher.decrypt(direct()).quantized
    if not same.all():
        raise RuntimeError("the two ways give different results")
    return Target(direct, remote, home)


def _latency(target: Target) -> Entry:
    """Medians over calls in turn, so that the machine's mood meets both alike."""
    direct: list[float] = []
    remote: list[float] = []
    with connect(load_identity(target.home)) as channel:
        for _ in range(_WARM_UP):
            target.direct(), target.remote(channel)
        for _ in range(_LATENCIES):
            direct.append(_seconds(target.direct))
            remote.append(_seconds(lambda: target.remote(channel)))
    return Entry("serve.latency.linear784", 1000 * statistics.median(remote), "ms",
                 "FHEModelServer.run, called directly", 1000 * statistics.median(direct),
                 _LATENCIES)  # fmt: skip


def _throughput(target: Target) -> Entry:
    """Rows a second: two clients with a connection each, beside one direct caller."""
    identity = load_identity(target.home)
    direct = remote = 0.0
    for _ in range(_TURNS):
        direct += _rate(target.direct) / _TURNS
        with connect(identity) as one, connect(identity) as two:
            channels = (one, two)
            rates = [0.0, 0.0]

            def client(index: int) -> None:
                rates[index] = _rate(lambda: target.remote(channels[index]))  # noqa: B023

            threads = [threading.Thread(target=client, args=(index,)) for index in range(2)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            remote += sum(rates) / _TURNS
    return Entry("serve.throughput.linear784", remote, "rows/s",
                 "one direct caller of FHEModelServer.run", direct,
                 _TURNS)  # fmt: skip


def _memory(pid: int) -> Entry:
    """Proportional set size: pages that processes share are counted once."""
    daemon = psutil.Process(pid)
    family = [daemon, *daemon.children(recursive=True)]
    megabytes = sum(process.memory_full_info().pss for process in family) / 1e6
    return Entry("serve.memory", megabytes, "MB of PSS", f"the promise, {len(family)} processes",
                 _MEMORY_PROMISE, 1)  # fmt: skip


def _rate(call: Callable[[], bytes]) -> float:
    calls, started = 0, time.perf_counter()
    while time.perf_counter() - started < _SECONDS:
        call()
        calls += 1
    return calls / (time.perf_counter() - started)


def _seconds(call: Callable[[], bytes]) -> float:
    started = time.perf_counter()
    call()
    return time.perf_counter() - started
