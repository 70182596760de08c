"""Who this client is to a server: its key and certificate, and the server's.

``<home>/identity/`` holds ``credentials.pem`` (EC P-256 private key, then certificate), ``ca.pem``
and ``server.json``. The private key is made here and never leaves; `keys.participant` keeps its key
in the same folder, `keys.renewal` the journal of a rotation.
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass, field
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import ec

from blindfit.errors import NotEnrolledError
from blindfit.files import PUBLIC, write_atomic
from keys.credentials import (
    Credentials,
    certificate_request,
    issued_credentials,
    new_private_key,
)
from keys.private import read_private, read_public, require_private_folder
from keys.wiping import Unshared

_CREDENTIALS, _CA, _SERVER = "credentials.pem", "ca.pem", "server.json"


@dataclass(frozen=True)
class ServerEntry:
    """The server that issued the identity.

    ``address`` and ``federation`` are ``host:port``; ``publisher_key`` is the pinned Ed25519 key
    that signs bundles, in hex; ``federation`` is null for clients that only predict.
    """

    address: str
    tenant: str
    publisher_key: str
    federation: str | None


@dataclass(frozen=True)
class Identity(Unshared):
    """An enrolled client; the PEM texts are what `ServerChannel.connect` takes."""

    folder: Path
    server: ServerEntry
    ca_pem: bytes
    credentials: Credentials = field(repr=False)

    @property
    def certificate_pem(self) -> bytes:
        """The certificate that the server knows this client by."""
        return self.credentials.certificate_pem

    @property
    def key_pem(self) -> bytes:
        """The private key of the certificate."""
        return self.credentials.key_pem

    @property
    def address(self) -> str:
        """The server's ``host:port``."""
        return self.server.address

    @property
    def tenant(self) -> str:
        """The name that the server's certificate authority gave this client."""
        return self.server.tenant

    @property
    def publisher_key(self) -> str:
        """The pinned Ed25519 key of the server's bundles, in hex."""
        return self.server.publisher_key

    @property
    def federation(self) -> str | None:
        """The SuperLink's ``host:port``, if this client may join federations."""
        return self.server.federation


def new_identity_request(name: str) -> tuple[ec.EllipticCurvePrivateKey, bytes]:
    """A new P-256 key and the PEM of a PKCS #10 request for ``name``, signed with it.

    Raises `InputError` for a name that a certificate cannot carry.
    """
    key = new_private_key()
    return key, certificate_request(key, name)


def save_identity(
    home: Path,
    private_key: ec.EllipticCurvePrivateKey,
    *,
    certificate_pem: bytes,
    ca_pem: bytes,
    server: ServerEntry,
) -> Identity:
    """Keep an issued identity, in place of an earlier one; the participant's key stays.

    The caller holds `keys.identity_lock.changing_identity`. Raises `InputError` if the certificate
    was issued for another key.
    """
    credentials = issued_credentials(private_key, certificate_pem)
    folder = require_private_folder(identity_folder(home))
    write_atomic(folder / _CA, ca_pem, PUBLIC)
    write_atomic(folder / _SERVER, json.dumps(asdict(server), indent=2).encode(), PUBLIC)
    replace_credentials(home, credentials)
    return load_identity(home)


def replace_credentials(home: Path, credentials: Credentials) -> None:
    """Exchange key and certificate, both at once."""
    write_atomic(identity_folder(home) / _CREDENTIALS, credentials.to_bytes())


def load_identity(home: Path) -> Identity:
    """The identity in ``home``; raises `NotEnrolledError` if it is absent or incomplete.

    Raises `AccessError` if others may use the folder or the key, or a file is a symbolic link.
    """
    folder = identity_folder(home)
    try:
        # Whoever may write there decides whom this client trusts: the files' modes say nothing.
        _require_private(folder)
        return Identity(
            folder=folder,
            server=ServerEntry(**json.loads(read_public(folder / _SERVER))),
            ca_pem=read_public(folder / _CA),
            credentials=Credentials.from_bytes(read_private(folder / _CREDENTIALS)),
        )
    except FileNotFoundError as error:
        raise NotEnrolledError(f"{home} is not enrolled with a server") from error
    except (ValueError, TypeError) as error:
        raise NotEnrolledError(f"the identity in {folder} is damaged: {error}") from error


def _require_private(folder: Path) -> None:
    if not os.path.lexists(folder):
        raise FileNotFoundError(folder)  # it is not made by looking for it
    require_private_folder(folder)


def identity_folder(home: Path) -> Path:
    """Where the identity lives in ``home``."""
    return home / "identity"


def credentials_path(home: Path) -> Path:
    """The file of the private key and its certificate, for programs that take a file."""
    return identity_folder(home) / _CREDENTIALS


__all__ = [
    "Identity",
    "ServerEntry",
    "credentials_path",
    "identity_folder",
    "load_identity",
    "new_identity_request",
    "replace_credentials",
    "save_identity",
]
