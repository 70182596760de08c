"""Where everything is in a server's home folder."""

from __future__ import annotations

from pathlib import Path

from blindfit.errors import InputError


class Layout:
    """The paths of a server's home; nothing is created here."""

    def __init__(self, home: Path):
        self.home = home
        self.config = home / "config.toml"
        self.ca_certificate = home / "ca" / "ca.pem"
        self.ca_key = home / "ca" / "ca.key"
        self.revocation_list = home / "ca" / "crl.pem"  # for nginx; see packaging/nginx
        self.certificate = home / "tls" / "server.pem"
        self.key = home / "tls" / "server.key"
        self.publisher_key = home / "publisher" / "publisher.key"
        self.publisher_public = home / "publisher" / "publisher.pub"
        self.database = home / "server.db"
        self.registry = home / "registry"
        self.evaluation_keys = home / "evaluation_keys"
        self.workers = home / "workers"  # scratch of worker processes, gone when they are
        self.daemon = home / "daemon.json"
        self.daemon_lock = home / "daemon.lock"

    @classmethod
    def existing(cls, home: Path) -> Layout:
        """The layout of an initialised home; raises `InputError` for any other folder."""
        layout = cls(home)
        if not layout.config.is_file():
            raise InputError(
                f"{home} is not a server's home", hint=f"run `blindfit-server init {home}` first"
            )
        return layout
