"""The server's certificate authority: it makes the server's certificate and its tenants'.

P-256 throughout. A tenant's certificate says nothing that is believed: the server knows it by its
SHA-256 alone (see ``tenants.py``).
"""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from blindfit.errors import InputError
from blindfit.files import PUBLIC, private_folder, write_exclusive
from server_app.layout import Layout

_CURVES = (ec.SECP256R1, ec.SECP384R1, ec.SECP521R1)
_MIN_RSA_BITS = 2048
# As long as its authority's: no tenant would be able to tell why an expired server is refused.
_AUTHORITY_LIFETIME = timedelta(days=3650)
_CLOCK_SKEW = timedelta(minutes=5)


def create_authority(layout: Layout, hosts: Sequence[str]) -> None:
    """Make the authority, the server's certificate for ``hosts``, and the publisher's key.

    Raises `InputError` for a host that a certificate cannot name, and FileExistsError rather than
    replace anything.
    """
    names = [_general_name(host) for host in dict.fromkeys([*hosts, "localhost", "127.0.0.1"])]
    ca_key = ec.generate_private_key(ec.SECP256R1())
    ca = _authority_certificate(ca_key)
    key = ec.generate_private_key(ec.SECP256R1())
    certificate = _server_certificate(ca, ca_key, key, names)
    for path in (layout.ca_key, layout.key, layout.publisher_key):
        private_folder(path.parent)
    write_exclusive(layout.ca_key, _private_pem(ca_key))
    write_exclusive(layout.ca_certificate, _pem(ca), PUBLIC)
    write_exclusive(layout.key, _private_pem(key))
    write_exclusive(layout.certificate, _pem(certificate), PUBLIC)
    _create_publisher(layout)


def load_publisher_key(home: Path) -> Ed25519PrivateKey:
    """The key that signs manifests; raises `InputError` if ``home`` has none."""
    path = Layout.existing(home).publisher_key
    key = serialization.load_pem_private_key(_read(path), None)
    if not isinstance(key, Ed25519PrivateKey):
        raise InputError(f"{path} is not an Ed25519 key")
    return key


def load_publisher_public(home: Path) -> str:
    """The public key that clients pin, in hex."""
    return _read(Layout.existing(home).publisher_public).decode().strip()


def sign_request(home: Path, csr_pem: bytes, tenant: str, lifetime: float) -> x509.Certificate:
    """A client certificate for ``tenant`` and the public key in a PKCS #10 request.

    Everything else in the request is ignored. ``lifetime`` is in seconds. Raises `InputError` for a
    request that is not signed by its own key, or whose key is weak.
    """
    public_key = _requested_key(csr_pem)
    layout = Layout.existing(home)
    ca = x509.load_pem_x509_certificate(_read(layout.ca_certificate))
    ca_key = _ca_key(layout)
    builder = _builder(_name(tenant), ca.subject, public_key, timedelta(seconds=lifetime))
    builder = _end_entity(builder, ca_key, public_key, ExtendedKeyUsageOID.CLIENT_AUTH)
    return builder.sign(ca_key, hashes.SHA256())


def _requested_key(csr_pem: bytes) -> ec.EllipticCurvePublicKey | rsa.RSAPublicKey:
    try:
        request = x509.load_pem_x509_csr(csr_pem)
        key = request.public_key()
        valid = request.is_signature_valid
    except (ValueError, TypeError) as error:
        raise InputError(f"the certificate request cannot be read: {error}") from error
    if not valid:
        raise InputError("the certificate request is not signed by its own key")
    if isinstance(key, ec.EllipticCurvePublicKey) and isinstance(key.curve, _CURVES):
        return key
    if isinstance(key, rsa.RSAPublicKey) and key.key_size >= _MIN_RSA_BITS:
        return key
    raise InputError("the certificate request's key is weak", hint="use an EC key on P-256")


def _authority_certificate(key: ec.EllipticCurvePrivateKey) -> x509.Certificate:
    name = _name("Blindfit server authority")
    usage = _key_usage(signs_certificates=True)
    return (
        _builder(name, name, key.public_key(), _AUTHORITY_LIFETIME)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )


def _server_certificate(
    ca: x509.Certificate,
    ca_key: ec.EllipticCurvePrivateKey,
    key: ec.EllipticCurvePrivateKey,
    names: list[x509.GeneralName],
) -> x509.Certificate:
    public_key = key.public_key()
    builder = _builder(_name("Blindfit server"), ca.subject, public_key, _AUTHORITY_LIFETIME)
    builder = _end_entity(builder, ca_key, public_key, ExtendedKeyUsageOID.SERVER_AUTH)
    builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    return builder.sign(ca_key, hashes.SHA256())


def _builder(
    subject: x509.Name,
    issuer: x509.Name,
    public_key: ec.EllipticCurvePublicKey | rsa.RSAPublicKey,
    lifetime: timedelta,
) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public_key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _CLOCK_SKEW)
        .not_valid_after(now + lifetime)
    )


def _end_entity(
    builder: x509.CertificateBuilder,
    ca_key: ec.EllipticCurvePrivateKey,
    public_key: ec.EllipticCurvePublicKey | rsa.RSAPublicKey,
    purpose: x509.ObjectIdentifier,
) -> x509.CertificateBuilder:
    issuer = x509.AuthorityKeyIdentifier.from_issuer_public_key(ca_key.public_key())
    return (
        builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_key_usage(signs_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([purpose]), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public_key), critical=False)
        .add_extension(issuer, critical=False)
    )


def _key_usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )


def _create_publisher(layout: Layout) -> None:
    key = Ed25519PrivateKey.generate()
    write_exclusive(layout.publisher_key, _private_pem(key))
    public = key.public_key().public_bytes_raw().hex()
    write_exclusive(layout.publisher_public, f"{public}\n".encode(), PUBLIC)


def _general_name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        pass
    if not host or len(host) > 253 or not all(c.isalnum() or c in "-." for c in host):
        raise InputError(f"{host!r} is not a host name or an IP address")
    try:
        return x509.DNSName(host)
    except ValueError as error:
        raise InputError(f"{host!r} is not a host name: {error}") from error


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _ca_key(layout: Layout) -> ec.EllipticCurvePrivateKey:
    key = serialization.load_pem_private_key(_read(layout.ca_key), None)
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise InputError(f"{layout.ca_key} is not an EC key")
    return key


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


def _private_pem(key: ec.EllipticCurvePrivateKey | Ed25519PrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise InputError(f"cannot read {path}: {error}") from error
