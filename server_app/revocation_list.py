"""A certificate revocation list (RFC 5280, section 5), for programs that do not ask our database.

nginx knows a certificate by its authority's signature, and the ones to refuse by their serial
numbers. The daemon needs no list: it asks the database with every call.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from blindfit.errors import InputError
from server_app.layout import Layout

_CLOCK_SKEW = timedelta(minutes=5)


def revocation_list(home: Path, serials: Iterable[int]) -> bytes:
    """The PEM of a list of ``serials``, signed by the authority in ``home``; it may be empty.

    Raises `InputError` if the authority cannot be read.
    """
    layout = Layout.existing(home)
    try:
        ca = x509.load_pem_x509_certificate(layout.ca_certificate.read_bytes())
        key = serialization.load_pem_private_key(layout.ca_key.read_bytes(), None)
    except (OSError, ValueError) as error:
        raise InputError(f"the authority in {home} cannot be read: {error}") from error
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise InputError(f"{layout.ca_key} is not an EC key")
    signed = _builder(ca, key, sorted(set(serials))).sign(key, hashes.SHA256())
    return signed.public_bytes(serialization.Encoding.PEM)


def _builder(
    ca: x509.Certificate, key: ec.EllipticCurvePrivateKey, serials: list[int]
) -> x509.CertificateRevocationListBuilder:
    now = datetime.now(UTC)
    issuer = x509.AuthorityKeyIdentifier.from_issuer_public_key(key.public_key())
    builder = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(ca.subject)
        .last_update(now - _CLOCK_SKEW)
        # OpenSSL refuses everybody once a list is out of date. This one is read where it is made:
        # an earlier date would reveal nothing, and lock all participants out one day.
        .next_update(ca.not_valid_after_utc)
        .add_extension(x509.CRLNumber(time.time_ns()), critical=False)
        .add_extension(issuer, critical=False)
    )
    for serial in serials:
        builder = builder.add_revoked_certificate(_entry(serial, now))
    return builder


def _entry(serial: int, now: datetime) -> x509.RevokedCertificate:
    return x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(now).build()
