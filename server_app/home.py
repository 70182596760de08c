"""Making a server's home: authority, certificates, publisher key, database, configuration."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from blindfit.errors import InputError
from blindfit.files import private_folder, write_exclusive
from server_app.authority import create_authority
from server_app.config import Config, config_text
from server_app.database import Database
from server_app.layout import Layout

_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})


def create_home(home: Path, hosts: Sequence[str]) -> Layout:
    """Initialise a server in ``home``; the first of ``hosts`` stands in invitations.

    A host beyond loopback makes the server listen on all interfaces. Raises `InputError` if there
    is something already: keys are never overwritten.
    """
    layout = Layout(home)
    if home.exists() and any(home.iterdir()):
        raise InputError(
            f"{home} is not empty", hint="choose another folder; nothing is ever overwritten"
        )
    private_folder(home).chmod(0o700)
    create_authority(layout, hosts)
    for folder in (layout.registry, layout.evaluation_keys):
        private_folder(folder)
    Database.create(layout.database).close()
    # Last: its presence says that the home is complete.
    write_exclusive(layout.config, config_text(_config(hosts)).encode())
    return layout


def _config(hosts: Sequence[str]) -> Config:
    if all(host in _LOOPBACK for host in hosts):
        return Config(host=hosts[0] if hosts else "127.0.0.1")
    return Config(host=hosts[0], listen="0.0.0.0:7443", enroll_listen="0.0.0.0:7444")
