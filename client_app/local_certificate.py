"""A certificate for one process's loopback server, believed by whom it starts and nobody else."""

from __future__ import annotations

import ipaddress
import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from blindfit.files import write_exclusive

_LIFETIME = timedelta(days=397)  # of a training, at the very most
_CLOCK_SKEW = timedelta(minutes=5)


def local_context(folder: Path) -> tuple[ssl.SSLContext, Path]:
    """TLS for a server at 127.0.0.1 with a new certificate, and the PEM file to trust it by.

    ``folder`` is private. The key is in there only until OpenSSL has read it.
    """
    key = ec.generate_private_key(ec.SECP256R1())
    certificate_file, key_file = folder / "local.pem", folder / "local.key"
    write_exclusive(certificate_file, _certificate(key).public_bytes(serialization.Encoding.PEM))
    write_exclusive(key_file, _private_pem(key))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    try:
        context.load_cert_chain(certificate_file, key_file)
    finally:
        key_file.unlink()
    return context, certificate_file


def _certificate(key: ec.EllipticCurvePrivateKey) -> x509.Certificate:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Blindfit on this machine")])
    here = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    now = datetime.now(UTC)
    # Self-signed and no authority: whoever believes it believes this one server.
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _CLOCK_SKEW)
        .not_valid_after(now + _LIFETIME)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(here, critical=False)
        .sign(key, hashes.SHA256())
    )


def _private_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
