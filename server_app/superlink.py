"""Flower's SuperLink: started for one training, with TLS and SuperNode authentication."""

from __future__ import annotations

import socket
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from blindfit.address import split_address
from blindfit.errors import TrainingError
from blindfit.flower_process import FlowerProcess
from server_app.control import Control
from server_app.run_folder import RUN_FOLDER_VARIABLE, RunFolder

START_SECONDS = 60.0


@dataclass(frozen=True)
class Tls:
    """PEM files: the authority that participants trust, the server's certificate and key."""

    ca: Path
    certificate: Path
    key: Path


class SuperLink:
    """A running SuperLink whose apps work on one `RunFolder`; a context manager."""

    def __init__(self, run: RunFolder, address: str, tls: Tls) -> None:
        host, port = split_address(address)
        # Whoever binds to all interfaces is still reached through loopback from here.
        local = "127.0.0.1" if host in ("0.0.0.0", "::") else host  # noqa: S104
        _require_free(host, port)
        self._process = FlowerProcess(
            _command(host, port, tls),
            run.path,
            run.path / "superlink.log",
            environment={RUN_FOLDER_VARIABLE: str(run.path)},
        )
        self._local, self._ca = (local, port), tls.ca

    def __enter__(self) -> Self:
        try:
            self._wait_until_up()
        except BaseException:
            self._process.stop()
            raise
        return self

    def __exit__(self, *_raised: object) -> None:
        self._process.stop()

    @property
    def alive(self) -> bool:
        """Whether it still runs."""
        return self._process.alive

    def log_tail(self) -> str:
        """The last lines of its log."""
        return self._process.log_tail()

    def control(self) -> Control:
        """A connection to admit participants and to start the run."""
        host, port = self._local
        return Control(f"{host}:{port}", self._ca)

    def _wait_until_up(self) -> None:
        deadline = time.monotonic() + START_SECONDS
        while not _listens(*self._local):
            if not self._process.alive or time.monotonic() >= deadline:
                raise TrainingError(
                    f"Flower's SuperLink did not start:\n{self._process.log_tail()}",
                    hint=f"see {self._process.log}",
                )
            time.sleep(0.2)


def _command(host: str, port: int, tls: Tls) -> list[str]:
    # Without --database all is in memory: faster, and no update ever lies on the disk. What has to
    # outlive a crash is in the run's folder.
    return [
        *("flower-superlink", "--host", host, "--port", str(port)),
        *("--ssl-ca-certfile", str(tls.ca.resolve())),
        *("--ssl-certfile", str(tls.certificate.resolve())),
        *("--ssl-keyfile", str(tls.key.resolve())),
        "--enable-supernode-auth",
        "--disable-runtime-dependency-installation",
    ]


def _listens(host: str, port: int) -> bool:
    try:
        with socket.create_connection((host, port), timeout=1.0):
            return True
    except OSError:
        return False


def _require_free(host: str, port: int) -> None:
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((host, port))
        except OSError as error:
            raise TrainingError(
                f"{host}:{port} cannot be listened on: {error}",
                hint="another training may run there; pass another --address",
            ) from error
