"""The connection of a home to its server, also across a rotation of the mTLS identity."""

from __future__ import annotations

from pathlib import Path

from keys.connecting import connect
from keys.identity import load_identity


class Connection:
    """``channel`` is open as the tenant of ``home``; raises `NotEnrolledError` without one."""

    def __init__(self, home: Path, address: str | None = None):
        self._home = home
        self._address = address
        self._identity = load_identity(home)
        self.channel = connect(self._identity, address)

    @property
    def publisher_key(self) -> str:
        """The pinned key of the server's bundles, in hex."""
        return self._identity.publisher_key

    def renew(self) -> bool:
        """Whether the home has got another certificate meanwhile; then it is used from now on."""
        identity = load_identity(self._home)
        if identity.certificate_pem == self._identity.certificate_pem:
            return False
        old, self.channel = self.channel, connect(identity, self._address)
        self._identity = identity
        old.close()
        return True

    def close(self) -> None:
        """End it, and every call that is under way."""
        self.channel.close()
