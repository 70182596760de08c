"""The journal of an identity's renewal: ``<home>/identity/renewal.json`` (mode 0600).

The new private key is on disk before the server hears of it, and the old certificate's fingerprint
until the server has revoked it. It is not signed, unlike the journals of keysets: whoever may write
it may write the credentials themselves.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import cast

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from blindfit.errors import IntegrityError
from blindfit.files import sync_folder, write_atomic
from blindfit.strict_json import loads_strict
from keys.credentials import Credentials, issued_credentials, new_private_key, private_key_pem
from keys.identity import identity_folder, load_identity
from keys.private import read_private
from keys.wiping import Unshared

_FILE = "renewal.json"


@dataclass(frozen=True, repr=False)
class Renewal(Unshared):
    """How far a renewal is; ``certificate_pem`` is empty until the server has issued it."""

    started: str
    old_fingerprint: str
    key_pem: str
    certificate_pem: str = ""

    def __repr__(self) -> str:
        return f"<Renewal started={self.started} old={self.old_fingerprint[:12]}>"

    @property
    def next_step(self) -> str:
        """What comes next, for a person."""
        if self.certificate_pem:
            return "taking the new certificate and revoking the old one"
        return "requesting a certificate for the new key"

    @property
    def private_key(self) -> ec.EllipticCurvePrivateKey:
        """The new private key."""
        key = serialization.load_pem_private_key(self.key_pem.encode("ascii"), None)
        return cast(ec.EllipticCurvePrivateKey, key)

    @property
    def issued(self) -> Credentials:
        """The new key and its certificate, which the server has issued."""
        return issued_credentials(self.private_key, self.certificate_pem.encode("ascii"))


def begin_renewal(home: Path) -> Renewal:
    """A new private key, kept before anybody hears of it."""
    renewal = Renewal(
        started=datetime.now(UTC).isoformat(timespec="seconds"),
        old_fingerprint=load_identity(home).credentials.fingerprint,
        key_pem=private_key_pem(new_private_key()).decode("ascii"),
    )
    save_renewal(home, renewal)
    return renewal


def pending_renewal(home: Path) -> Renewal | None:
    """The renewal that was stopped, if there is one; raises `IntegrityError`."""
    path = _path(home)
    try:
        renewal = _decoded(read_private(path))
    except FileNotFoundError:
        return None
    if renewal is None:
        raise IntegrityError(
            f"{path} is damaged",
            hint="remove it, and run `blindfit-keys rotate --identity` again",
        )
    return renewal


def _decoded(content: bytes) -> Renewal | None:
    """None if it is none: the error of a reader of JSON would keep the private key's text."""
    try:
        document = loads_strict(content)
        if all(isinstance(text, str) and text.isascii() for text in document.values()):
            return Renewal(**document)
    except (ValueError, TypeError, AttributeError):
        pass
    return None


def save_renewal(home: Path, renewal: Renewal) -> None:
    """Write it in place of its former self."""
    write_atomic(_path(home), json.dumps(asdict(renewal)).encode("ascii"))


def end_renewal(home: Path) -> None:
    """It is over, or given up."""
    _path(home).unlink()
    sync_folder(identity_folder(home))


def _path(home: Path) -> Path:
    return identity_folder(home) / _FILE


__all__ = ["Renewal", "begin_renewal", "end_renewal", "pending_renewal", "save_renewal"]
