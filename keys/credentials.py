"""A private key and its certificate in one PEM text, so that they are replaced together."""

from __future__ import annotations

from dataclasses import dataclass, field

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from blindfit.errors import InputError
from keys.wiping import Unshared

_BEGIN_CERTIFICATE = b"-----BEGIN CERTIFICATE-----"


@dataclass(frozen=True)
class Credentials(Unshared):
    """A key and the certificate for it, both in PEM."""

    key_pem: bytes = field(repr=False)
    certificate_pem: bytes

    @property
    def certificate(self) -> x509.Certificate:
        """The certificate, read."""
        return x509.load_pem_x509_certificate(self.certificate_pem)

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the certificate, in hex: what the server knows it by."""
        return self.certificate.fingerprint(hashes.SHA256()).hex()

    def to_bytes(self) -> bytes:
        """The private key, then the certificate."""
        return self.key_pem.rstrip(b"\n") + b"\n" + self.certificate_pem

    @classmethod
    def from_bytes(cls, content: bytes) -> Credentials:
        """What `to_bytes` wrote; raises ValueError if it is damaged, or no pair."""
        key_pem, begin, certificate = content.partition(_BEGIN_CERTIFICATE)
        key = serialization.load_pem_private_key(key_pem, None)
        credentials = cls(key_pem, begin + certificate)
        if credentials.certificate.public_key() != key.public_key():
            raise ValueError("the key and the certificate are no pair")
        return credentials


def new_private_key() -> ec.EllipticCurvePrivateKey:
    """A new key on P-256."""
    return ec.generate_private_key(ec.SECP256R1())


def certificate_request(key: ec.EllipticCurvePrivateKey, name: str) -> bytes:
    """The PEM of a PKCS #10 request for ``name``, signed with ``key``.

    Raises `InputError` for a name that a certificate cannot carry.
    """
    try:
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    except ValueError as error:
        raise InputError(f"{name!r} cannot be a tenant's name: {error}") from error
    builder = x509.CertificateSigningRequestBuilder().subject_name(subject)
    return builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


def private_key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    """PKCS #8, not encrypted: the file's mode protects it."""
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )


def issued_credentials(key: ec.EllipticCurvePrivateKey, certificate_pem: bytes) -> Credentials:
    """A key with the certificate that a server issued; raises `InputError` if it is no pair."""
    try:
        certificate = x509.load_pem_x509_certificate(certificate_pem)
    except ValueError as error:
        raise InputError(f"the server's certificate cannot be read: {error}") from error
    if certificate.public_key() != key.public_key():
        raise InputError("the server's certificate is for another key than this client's")
    # Encoded again: what else the server wrote around it stays out of the file.
    return Credentials(private_key_pem(key), certificate.public_bytes(serialization.Encoding.PEM))


__all__ = [
    "Credentials",
    "certificate_request",
    "issued_credentials",
    "new_private_key",
    "private_key_pem",
]
