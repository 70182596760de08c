"""The real services over TLS in a process of their own, without workers: for keys, not for rows."""

from __future__ import annotations

import asyncio
import multiprocessing
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from blindfit.channel import ServerChannel
from blindfit.errors import UnavailableError
from server_app.config import load_config
from server_app.database import Database
from server_app.home import create_home
from server_app.invitations import invite
from server_app.key_records import KeyRecords
from server_app.layout import Layout
from server_app.ports import Ports
from server_app.runner import CircuitRef, KeyRef, RunnerStats, RunResult
from server_app.tenants import Tenants

# A plain fork of a process that uses gRPC would hang. Children of the forkserver, which has only
# imported everything, are ready in a twentieth of a second.
_PROCESSES = multiprocessing.get_context("forkserver")


class NoWorkers:
    """A `Runner` that runs nothing."""

    async def start(self) -> None:
        """There is nothing to start."""

    async def run(
        self, circuit: CircuitRef, key: KeyRef, ciphertext: bytes, owner: str
    ) -> RunResult:
        """Refuse."""
        del circuit, key, ciphertext, owner
        raise UnavailableError("this server has no workers")

    async def close(self) -> None:
        """There is nothing to end."""

    def stats(self) -> RunnerStats:
        """Nothing."""
        return RunnerStats(0, 0, 0, 0)


@dataclass(frozen=True)
class Person:
    """An enrolled tenant: its certificate and its private key, PEM."""

    name: str
    certificate: bytes
    key: bytes
    ca: bytes

    def connect(self, address: str) -> ServerChannel:
        """A channel as this tenant."""
        return ServerChannel.connect(address, self.ca, self.certificate, self.key)


def enroll(home: Path, name: str, models: list[str] | None = None) -> Person:
    """Make a tenant beside the server, with an invitation that is used up at once."""
    layout, config = Layout.existing(home), load_config(home)
    key, request = request_certificate(name)
    database = Database.open(layout.database)
    tenants = Tenants(home, database, config.limits.certificate_lifetime)
    _, certificate = tenants.enroll(invite(home, name, models).token, request, "")
    database.close()
    return Person(name, certificate, key, layout.ca_certificate.read_bytes())


def request_certificate(name: str) -> tuple[bytes, bytes]:
    """A new P-256 key and a PKCS #10 request for it, both PEM."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    request = x509.CertificateSigningRequestBuilder().subject_name(subject)
    pem = serialization.Encoding.PEM
    plain = (serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return key.private_bytes(pem, *plain), request.sign(key, hashes.SHA256()).public_bytes(pem)


class KeyServer:
    """A running server; `kill` ends it as a power cut of the process would."""

    def __init__(
        self, process: multiprocessing.process.BaseProcess, address: str, enroll_address: str
    ):
        self.process = process
        self.address = address
        self.enroll_address = enroll_address

    def kill(self) -> None:
        """SIGKILL, and wait."""
        self.process.kill()
        self.process.join()


def start(
    home: Path, listen: str = "127.0.0.1:0", prepare: Callable[[], None] | None = None
) -> KeyServer:
    """Serve ``home`` in a new process; ``prepare`` runs there first, and has to be picklable."""
    _PROCESSES.set_forkserver_preload(["bench.key_server"])
    ours, theirs = _PROCESSES.Pipe(duplex=False)
    process = _PROCESSES.Process(target=_serve, args=(home, listen, theirs, prepare), daemon=True)
    process.start()
    theirs.close()
    try:
        addresses = ours.recv()
    except EOFError as error:
        process.join()
        raise UnavailableError(f"the server ended with {process.exitcode}") from error
    return KeyServer(process, *addresses)


@contextmanager
def serving(home: Path) -> Iterator[KeyServer]:
    """A server that runs inside the block."""
    server = start(home)
    try:
        yield server
    finally:
        server.kill()


def _serve(home: Path, listen: str, ready: Connection, prepare: Callable[[], None] | None) -> None:
    if prepare is not None:
        prepare()
    asyncio.run(_serving(home, listen, ready))


async def _serving(home: Path, listen: str, ready: Connection) -> None:
    layout = Layout.existing(home)
    config = replace(load_config(home), listen=listen, enroll_listen="127.0.0.1:0")
    database = Database.open(layout.database)
    records = KeyRecords.open(layout, database)
    ports = Ports(layout, config, database, records, NoWorkers(), asyncio.Event())
    main, enrollment = ports.tenants_port(), ports.enrollment_port()
    await asyncio.gather(main.start(), enrollment.start())
    ended = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, ended.set)
    ready.send((main.address, enrollment.address))
    await ended.wait()


def new_home(folder: Path) -> Path:
    """A server's home in ``folder``."""
    create_home(folder, [])
    return folder
