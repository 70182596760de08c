"""A coordinator's TLS material, participants' keys, and digits split among participants."""

from __future__ import annotations

import datetime
import ipaddress
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import psutil
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from sklearn.datasets import load_digits

from blindfit.flower_process import free_port
from blindfit.roster import Roster, make_roster
from blindfit.study import Study, load_study
from keys.participant import ensure_participant_key, participant_key_path
from server_app.superlink import Tls

DIGITS_STUDY = """
[study]
name = "digits"
[model]
estimator = "LogisticRegression"
params = {{ C = 1.0, max_iter = 20 }}
[federation]
rounds = {rounds}
min_participants = {needed}
round_timeout = {round_timeout}
join_timeout = {join_timeout}
[schema]
target = "label"
classes = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]
[[schema.features]]
name = "pixel{{0..63}}"
kind = "number"
min = 0
max = 16
"""


def digits_study(
    folder: Path, *, rounds: int, needed: int, round_timeout: float = 60, join_timeout: float = 60
) -> Path:
    path = folder / "study.toml"
    path.write_text(
        DIGITS_STUDY.format(
            rounds=rounds, needed=needed, round_timeout=round_timeout, join_timeout=join_timeout
        )
    )
    return path


def digits_parts(folder: Path, count: int) -> list[Path]:
    X, y = load_digits(return_X_y=True)
    paths = []
    for part in range(count):
        paths.append(folder / f"part{part}.npz")
        np.savez(paths[-1], X=X[part:1400:count], y=y[part:1400:count])
    return paths


@pytest.fixture(scope="session")
def federation_tls(tmp_path_factory: pytest.TempPathFactory) -> Tls:
    folder = tmp_path_factory.mktemp("tls")
    tls = Tls(folder / "ca.pem", folder / "server.pem", folder / "server.key")
    make_tls(tls)
    return tls


def make_tls(tls: Tls) -> None:
    ca_key, key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    ca = (
        _builder("test ca", ca_key.public_key())
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(ca_key, hashes.SHA256())
    )
    names = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
    certificate = (
        _builder("localhost", key.public_key())
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .sign(ca_key, hashes.SHA256())
    )
    tls.ca.write_bytes(ca.public_bytes(serialization.Encoding.PEM))
    tls.certificate.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    tls.key.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )


def _builder(name: str, key: ec.EllipticCurvePublicKey) -> x509.CertificateBuilder:
    def common(text: str) -> x509.Name:
        return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])

    now = datetime.datetime.now(datetime.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(common(name))
        .issuer_name(common("test ca"))
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(minutes=5))
        .not_valid_after(now + datetime.timedelta(days=1))
    )


_FAULTY = str(Path(__file__).with_name("faulty_join.py"))


class Participants:
    """`blindfit-client join` processes; their homes hold nothing but a key at first."""

    def __init__(self, folder: Path, tls: Tls, address: str) -> None:
        self._folder, self._tls, self._address = folder, tls, address
        self._processes: dict[str, subprocess.Popen[bytes]] = {}

    def public_keys(self, names: list[str]) -> dict[str, str]:
        return {name: ensure_participant_key(self._folder / name) for name in names}

    def roster(self, names: list[str]) -> Roster:
        return make_roster(self.public_keys(names))

    def join(self, name: str, study: Path, data: Path, *, die_at: str = "") -> None:
        """``die_at`` names a stage at which the participant's machine dies (`faulty_join`)."""
        program = (_FAULTY,) if die_at else ("-m", "client_app.cli")
        home = self._folder / name
        command = [
            *(sys.executable, *program, "join", str(study), "--data", str(data)),
            *("--server", self._address, "--ca", str(self._tls.ca), "--json"),
            *("--home", str(home), "--key", str(participant_key_path(home))),
            *("--accept", load_study(study).digest),
        ]
        with (
            (self._folder / f"{name}.out").open("wb") as out,
            (self._folder / f"{name}.err").open("wb") as err,
        ):
            self._processes[name] = subprocess.Popen(
                command,
                stdout=out,
                stderr=err,
                env=os.environ
                | {"TMPDIR": str(self._folder), "OMP_NUM_THREADS": "1", "DIE_AT": die_at},
            )

    def wait(self, name: str, timeout: float = 60) -> tuple[int, str, str]:
        code = self._processes[name].wait(timeout)
        texts = [(self._folder / f"{name}.{end}").read_text() for end in ("out", "err")]
        return code, texts[0], texts[1]

    def process(self, name: str) -> subprocess.Popen[bytes]:
        return self._processes[name]

    def errors(self, name: str) -> str:
        return (self._folder / f"{name}.err").read_text()

    def end(self) -> None:
        for process in self._processes.values():
            if process.poll() is None:
                process.terminate()
                process.wait(30)


def flower_processes(folder: Path) -> list[str]:
    """Processes, anywhere on this machine, whose Flower state is under ``folder``."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get("FLWR_HOME", "").startswith(str(folder)):
                found.append(f"{process.pid} {' '.join(process.cmdline()[:3])}")
        except psutil.Error:
            continue
    return found


def read_study(path: Path) -> Study:
    return load_study(path)


@pytest.fixture
def address() -> str:
    return f"127.0.0.1:{free_port()}"


@pytest.fixture
def participants(tmp_path: Path, federation_tls: Tls, address: str) -> Iterator[Participants]:
    joined = Participants(tmp_path, federation_tls, address)
    yield joined
    joined.end()
    gone = time.monotonic() + 20
    while flower_processes(tmp_path) and time.monotonic() < gone:
        time.sleep(0.5)
    assert flower_processes(tmp_path) == [], "processes outlive the test"
