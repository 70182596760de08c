"""Who this client is to a server: its key and certificate, and the server's.

``<home>/identity/`` holds ``client.key`` (EC P-256), ``client.pem``, ``ca.pem``, ``server.json``.
The private key is made here and never leaves; `keys.participant` keeps its key in the same folder.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from blindfit.errors import InputError, NotEnrolledError
from blindfit.files import PUBLIC, private_folder, write_atomic
from keys.private import read_private

_CLIENT_KEY, _CERTIFICATE, _CA, _SERVER = "client.key", "client.pem", "ca.pem", "server.json"


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
class Identity:
    """An enrolled client; the PEM texts are what `ServerChannel.connect` takes."""

    folder: Path
    server: ServerEntry
    ca_pem: bytes
    certificate_pem: bytes
    key_pem: bytes = field(repr=False)

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
    key = ec.generate_private_key(ec.SECP256R1())
    try:
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    except ValueError as error:
        raise InputError(f"{name!r} cannot be a tenant's name: {error}") from error
    request = (
        x509.CertificateSigningRequestBuilder().subject_name(subject).sign(key, hashes.SHA256())
    )
    return key, request.public_bytes(serialization.Encoding.PEM)


def save_identity(
    home: Path,
    private_key: ec.EllipticCurvePrivateKey,
    *,
    certificate_pem: bytes,
    ca_pem: bytes,
    server: ServerEntry,
) -> Identity:
    """Keep an issued identity, in place of an earlier one; the participant's key stays.

    Raises `InputError` if the certificate was issued for another key.
    """
    _require_pair(private_key, certificate_pem)
    folder = identity_folder(home)
    private_folder(folder)
    key_pem = private_key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    write_atomic(folder / _CLIENT_KEY, key_pem)
    write_atomic(folder / _CERTIFICATE, certificate_pem, PUBLIC)
    write_atomic(folder / _CA, ca_pem, PUBLIC)
    write_atomic(folder / _SERVER, json.dumps(asdict(server), indent=2).encode(), PUBLIC)
    return load_identity(home)


def load_identity(home: Path) -> Identity:
    """The identity in ``home``; raises `NotEnrolledError` if it is absent or incomplete."""
    folder = identity_folder(home)
    try:
        server = ServerEntry(**json.loads((folder / _SERVER).read_bytes()))
        identity = Identity(
            folder=folder,
            server=server,
            ca_pem=(folder / _CA).read_bytes(),
            certificate_pem=(folder / _CERTIFICATE).read_bytes(),
            key_pem=read_private(folder / _CLIENT_KEY),
        )
    except FileNotFoundError as error:
        raise NotEnrolledError(f"{home} is not enrolled with a server") from error
    except (ValueError, TypeError) as error:
        raise NotEnrolledError(f"the identity in {folder} is damaged: {error}") from error
    _require_loaded_pair(identity)
    return identity


def _require_pair(private_key: ec.EllipticCurvePrivateKey, certificate_pem: bytes) -> None:
    try:
        certificate = x509.load_pem_x509_certificate(certificate_pem)
    except ValueError as error:
        raise InputError(f"the server's certificate cannot be read: {error}") from error
    if certificate.public_key() != private_key.public_key():
        raise InputError("the server's certificate is for another key than this client's")


def _require_loaded_pair(identity: Identity) -> None:
    # A crash between the writes of `save_identity` may leave an old certificate with a new key.
    try:
        key = serialization.load_pem_private_key(identity.key_pem, None)
        certificate = x509.load_pem_x509_certificate(identity.certificate_pem)
    except ValueError as error:
        raise NotEnrolledError(f"the identity in {identity.folder} is damaged: {error}") from error
    if key.public_key() != certificate.public_key():
        raise NotEnrolledError(f"the key and certificate in {identity.folder} are no pair")


def identity_folder(home: Path) -> Path:
    """Where the identity lives in ``home``."""
    return home / "identity"


__all__ = [
    "Identity",
    "ServerEntry",
    "identity_folder",
    "load_identity",
    "new_identity_request",
    "save_identity",
]
