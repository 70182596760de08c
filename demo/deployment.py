"""A server with its tenants on this machine, made with Blindfit's own commands."""

from __future__ import annotations

import socket
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from demo.programs import Background, ask, command

PASSPHRASE = "correct horse battery staple"  # noqa: S105 - of keys that live for minutes


@dataclass
class Deployment:
    """A server home, its daemon, and a home for each tenant, all below ``folder``."""

    folder: Path
    workers: int | None = None
    record: bool = False  # keep every request's bytes in ``received``
    daemon: Background | None = None
    address: str = ""

    @property
    def server(self) -> Path:
        """The server's home."""
        return self.folder / "server"

    @property
    def received(self) -> Path:
        """Every request that the daemon received, as it came off the wire."""
        return self.folder / "received.bin"

    @property
    def passphrase_file(self) -> Path:
        """What opens the tenants' keys."""
        return self.folder / "passphrase"

    def home(self, tenant: str) -> Path:
        """A tenant's home."""
        return self.folder / tenant

    def __enter__(self) -> Deployment:
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.passphrase_file.write_text(PASSPHRASE + "\n")
        self.passphrase_file.chmod(0o600)
        ask("blindfit-server", "init", self.server)
        self._free_federation_port()
        self.start()
        return self

    def __exit__(self, *_raised: object) -> None:
        self.stop()

    def _free_federation_port(self) -> None:
        """Let the SuperLink use a port that nobody else on this machine uses now."""
        with socket.create_server(("127.0.0.1", 0)) as probe:
            port = probe.getsockname()[1]
        config = self.server / "config.toml"
        config.write_text(config.read_text().replace("127.0.0.1:8443", f"127.0.0.1:{port}"))

    def start(self) -> None:
        """Start the daemon and wait until it is ready: at a free port, and again at the same."""
        address = self.address or "127.0.0.1:0"
        arguments = ["--home", str(self.server), "--listen", address]
        arguments += ["--enroll-listen", "127.0.0.1:0", "--json"]
        if self.workers:
            arguments += ["--workers", str(self.workers)]
        if self.record:
            program = [sys.executable, "-m", "demo.recording_server", str(self.received)]
        else:
            program = command("blindfit-server", "serve")
        self.daemon = Background([*program, *arguments], self.folder / "daemon.log")
        self.address = self.daemon.first_document()["address"]

    def stop(self) -> None:
        """End the daemon as a service manager would."""
        if self.daemon is not None:
            self.daemon.stop()

    def enroll(self, tenant: str, *options: str) -> Path:
        """Invite and enroll a tenant; ``options`` are those of ``tenants invite``."""
        invitation = self.folder / f"{tenant}.invitation"
        ask("blindfit-server", "tenants", "invite", tenant, *options, "--out", invitation,
            "--home", self.server)  # fmt: skip
        ask("blindfit-client", "enroll", invitation, "--home", self.home(tenant))
        return self.home(tenant)

    def keys(self, action: str, tenant: str, model: str) -> dict[str, Any]:
        """``blindfit-keys create`` or ``rotate`` for a tenant."""
        return ask("blindfit-keys", *self.key_arguments(action, tenant, model))

    def key_arguments(self, action: str, tenant: str, model: str) -> list[str]:
        """The arguments of such a command."""
        return [action, "--model", model, "--home", str(self.home(tenant)),
                "--passphrase-file", str(self.passphrase_file)]  # fmt: skip
