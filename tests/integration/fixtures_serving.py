"""A real server for tests: published circuits, the daemon as a process, clients with FHE keys."""

from __future__ import annotations

import functools
import json
import os
import shutil
import signal
import struct
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import psutil
from cryptography.hazmat.primitives import serialization

from blindfit.bundle import fetch_bundle
from blindfit.channel import ServerChannel, enroll
from blindfit.key_id import SALT_BYTES, compute_key_id
from blindfit.schema import Schema
from keys.identity import new_identity_request
from server_app.authority import load_publisher_public
from server_app.home import create_home
from server_app.invitations import invite

WIDTHS = {"small": 6, "other": 9, "tree": 4}


@functools.cache
def published(root: Path) -> Path:
    """A home with two linear models and a tree, made once a test run; copy it before use."""
    from concrete.ml.sklearn import DecisionTreeClassifier
    from sklearn.linear_model import LogisticRegression

    home = root / "published"
    create_home(home, [])
    for name in ("small", "other"):
        publish_random(home, name, LogisticRegression())
    publish_random(home, "tree", DecisionTreeClassifier(n_bits=3, max_depth=2))
    return home


def publish_random(home: Path, name: str, estimator) -> None:
    """Fit ``estimator`` on made-up rows of two classes and publish it as ``name``."""
    from server_app.publish import publish_estimator

    width = WIDTHS[name]
    X = np.random.default_rng(width).random((200, width))
    estimator.fit(X, (X[:, 0] > X[:, 1]).astype(int))
    feature = {"name": f"x{{0..{width - 1}}}", "kind": "number", "min": 0, "max": 1}
    schema = {"target": "y", "classes": [0, 1], "features": [feature]}
    publish_estimator(home, name, Schema.model_validate(schema), estimator)


def copy_of(home: Path, to: Path, **limits: float) -> Path:
    """A home of one's own, with some limits changed."""
    shutil.copytree(home, to)
    with (to / "config.toml").open("a") as file:
        file.writelines(f"{name} = {value}\n" for name, value in limits.items())
    return to


class Daemon:
    """`blindfit-server serve` as a process of its own, on free ports."""

    def __init__(self, home: Path, workers: int = 2):
        command = [sys.executable, "-c", "from server_app.cli import main; main()", "serve"]
        command += ["--home", str(home), "--workers", str(workers), "--json"]
        command += ["--listen", "127.0.0.1:0", "--enroll-listen", "127.0.0.1:0"]
        self.home = home
        self.log = home.parent / f"{home.name}.log"
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log)
        ready = json.loads(self.process.stdout.readline())
        assert ready["event"] == "ready"
        self.pid = ready["pid"]
        self.address = ready["address"]
        self.enroll_address = ready["enroll_address"]

    def family(self) -> list[psutil.Process]:
        """The processes that the daemon started: forkserver, workers, Python's tracker."""
        return psutil.Process(self.pid).children(recursive=True)

    def workers(self) -> list[psutil.Process]:
        """The worker processes: the forkserver's children."""
        found = psutil.Process(self.pid).children(recursive=True)
        return [process for process in found if process.ppid() != self.pid]

    def text(self) -> str:
        """What it said so far on standard error."""
        return self.log.read_text(errors="replace")

    def end(self, timeout: float = 40.0) -> int:
        """SIGTERM, and its exit code."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise


@contextmanager
def serving(home: Path, workers: int = 2):
    """A daemon that runs inside the block."""
    daemon = Daemon(home, workers)
    try:
        yield daemon
    finally:
        daemon.end()


class Client:
    """An enrolled tenant with real FHE keys, one keyset a model."""

    def __init__(self, home: Path, name: str, models=None):
        invitation = invite(home, name, models)
        key, request = new_identity_request(name)
        ca = invitation.ca_pem.encode()
        self.name = name
        self.certificate = enroll(
            invitation.enroll_address, ca, invitation.token, request
        ).certificate_pem
        self.key = key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        self.ca, self.address = ca, invitation.address
        self.channel = ServerChannel.connect(invitation.address, ca, self.certificate, self.key)
        self._cache = home.parent / f"client-{name}"
        self._publisher = load_publisher_public(home)

    def keys_for(self, model: str) -> Keys:
        """A new keyset, uploaded but not active."""
        bundle = fetch_bundle(self.channel, self._cache, self._publisher, model)
        keys = Keys(bundle)
        self.channel.upload_key(keys.id, keys.params_id, keys.salt, keys.evaluation)
        return keys

    def active_keys(self, model: str, replaces: str | None = None) -> Keys:
        """A new keyset that is the active one."""
        keys = self.keys_for(model)
        self.channel.activate_key(keys.id, replaces)
        return keys

    def predict(self, keys: Keys, ciphertext: bytes, **options):
        """The reply to one encrypted row."""
        return self.channel.predict(keys.model, keys.version, keys.id, ciphertext, **options)


class Keys:
    """FHE keys of one model, and encryption with them."""

    def __init__(self, bundle):
        from concrete.ml.deployment import FHEModelClient

        self.model, self.version = bundle.manifest.model, bundle.manifest.version
        self.params_id = bundle.manifest.circuit.params_id
        self._client = FHEModelClient(str(bundle.folder))
        self._client.generate_private_and_evaluation_keys()
        self.evaluation = self._client.get_serialized_evaluation_keys()
        self.salt = os.urandom(SALT_BYTES)
        self.id = compute_key_id(self.salt, self.evaluation)
        self._width = bundle.manifest.circuit.inputs

    def encrypt(self, row) -> bytes:
        return self._client.quantize_encrypt_serialize(np.asarray(row).reshape(1, -1))

    def random_row(self, seed: int = 0):
        return np.random.default_rng(seed).random(self._width)

    def scores(self, ciphertext: bytes):
        return np.asarray(self._client.deserialize_decrypt_dequantize(ciphertext)).ravel()


def forge_two_blobs(ciphertext: bytes) -> bytes:
    """A ciphertext of the same length whose payload is said to be two overlapping blobs.

    Concrete puts the second blob at the place where a first one of half a gigabyte would end. Words
    of 8 bytes after Cap'n Proto's segment table: 6 is the list of blobs, 7 the pointer to the only
    blob, followed by its bytes. Only these are changed.
    """
    words = bytearray(ciphertext)
    (blob,) = struct.unpack_from("<Q", words, 7 * 8)
    size = blob >> 35
    _list(words, 6, offset=0, kind=6, count=2)
    _list(words, 7, offset=1, kind=2, count=8)
    _list(words, 8, offset=0, kind=2, count=size - 8)
    return bytes(words)


def _list(words: bytearray, at: int, *, offset: int, kind: int, count: int) -> None:
    struct.pack_into("<Q", words, at * 8, 1 | offset << 2 | kind << 32 | count << 35)


def wait_until(condition, seconds: float = 10.0) -> bool:
    """Whether ``condition`` becomes true in time."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.02)
    return bool(condition())
