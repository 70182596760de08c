"""A tenant's own certificates: another one for a new key, and the end of an old one.

A certificate cannot revoke itself over its own connection, so whoever asks keeps access, and a
tenant cannot lock itself out. What somebody did with a stolen certificate before it was revoked,
further certificates included, ends with `blindfit-server tenants revoke`, which refuses all.
"""

from __future__ import annotations

import time
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from sqlalchemy import ColumnElement, Connection, and_, delete, func, insert, select, update

from blindfit.errors import AccessError, InputError, LimitError, NotFoundError
from server_app.authority import sign_request
from server_app.config import Limits
from server_app.database import Database, tenants
from server_app.database import certificates as table

_KEPT = 1000  # rows of one tenant, revoked ones too: nobody fills the database by renewing


class Certificates:
    """The certificates of all tenants. Methods block: call them from a thread."""

    def __init__(self, home: Path, database: Database, limits: Limits):
        self._home = home
        self._database = database
        self._limits = limits

    def renew(self, tenant: str, caller: str, csr_pem: bytes) -> bytes:
        """A certificate, PEM, for ``tenant`` and the key of a PKCS #10 request.

        ``caller`` is the fingerprint that asks; it stays valid. A certificate that the same key got
        before is replaced: repeating a request whose answer was lost takes no further place. Raises
        `InputError` for a bad request, `AccessError` for a revoked caller, and `LimitError`.
        """
        lifetime = self._limits.certificate_lifetime
        certificate = sign_request(self._home, csr_pem, tenant, lifetime)
        with self._database.writing() as connection:
            _check_still_accepted(connection, tenant, caller)
            same_key = and_(table.c.key_sha256 == key_sha256(certificate), _is_active())
            others = (table.c.tenant == tenant, table.c.fingerprint != caller)
            # Kept until it expires: those who go by a revocation list have to be told of it.
            connection.execute(update(table).where(*others, same_key).values(state="revoked"))
            connection.execute(delete(table).where(*others, table.c.expires <= time.time()))
            self._check_count(connection, tenant)
            keep_certificate(connection, tenant, certificate)
        return certificate.public_bytes(serialization.Encoding.PEM)

    def revoke(self, tenant: str, caller: str, fingerprint: str) -> None:
        """Refuse a certificate of ``tenant`` for good.

        Raises `NotFoundError`, the same for another tenant's as for one that does not exist, and
        `InputError` for the one that asks.
        """
        if fingerprint == caller:
            raise InputError(
                "a certificate cannot revoke itself",
                hint="connect with the new certificate to revoke the old one",
            )
        own = (table.c.tenant == tenant, table.c.fingerprint == fingerprint)
        with self._database.writing() as connection:
            change = update(table).where(*own).values(state="revoked")
            if not connection.execute(change).rowcount:
                raise NotFoundError("this tenant has no such certificate")

    def _check_count(self, connection: Connection, tenant: str) -> None:
        if active_certificates(connection, tenant) >= self._limits.certificates_per_tenant:
            raise LimitError(
                f"this tenant has {self._limits.certificates_per_tenant} certificates already",
                hint="revoke one that is no longer used; the operator can revoke them all",
            )
        kept = select(func.count()).where(table.c.tenant == tenant)
        if int(connection.execute(kept).scalar_one()) >= _KEPT:
            raise LimitError(
                f"this tenant had {_KEPT} certificates that are not expired yet",
                hint="renew them less often",
            )


def active_certificates(connection: Connection, tenant: str) -> int:
    """How many certificates of a tenant are accepted now."""
    query = select(func.count()).where(
        table.c.tenant == tenant, _is_active(), table.c.expires > time.time()
    )
    return int(connection.execute(query).scalar_one())


def _check_still_accepted(connection: Connection, tenant: str, caller: str) -> None:
    # Asked again in the change itself: else a revocation that comes just now would be outlived.
    query = select(func.count()).where(
        table.c.tenant == tenant,
        table.c.fingerprint == caller,
        _is_active(),
        table.c.expires > time.time(),
        tenants.c.name == table.c.tenant,
        tenants.c.state == "active",
    )
    if not connection.execute(query).scalar_one():
        raise AccessError(
            "this certificate is not, or no longer, a tenant's",
            hint="ask the operator for an invitation, then run `blindfit-client enroll FILE`",
        )


def _is_active() -> ColumnElement[bool]:
    return table.c.state == "active"


def keep_certificate(connection: Connection, tenant: str, certificate: x509.Certificate) -> None:
    """Accept a certificate as the tenant's from now on."""
    entry = {
        "fingerprint": certificate.fingerprint(hashes.SHA256()).hex(),
        "tenant": tenant,
        "state": "active",
        "expires": certificate.not_valid_after_utc.timestamp(),
        "key_sha256": key_sha256(certificate),
        "serial": f"{certificate.serial_number:x}",
    }
    connection.execute(insert(table).values(entry))


def key_sha256(certificate: x509.Certificate) -> str:
    """The SHA-256 of a certificate's public key (SubjectPublicKeyInfo, DER), hex."""
    form = (serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    digest = hashes.Hash(hashes.SHA256())
    digest.update(certificate.public_key().public_bytes(*form))
    return digest.finalize().hex()
