"""A new mTLS key and certificate in place of the old ones, from a journal (`keys.renewal`)."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Protocol

from blindfit.errors import KeyStateError, NotFoundError
from blindfit.wire_types import KeyStatus
from keys.credentials import certificate_request, issued_credentials
from keys.identity import Identity, load_identity, replace_credentials
from keys.identity_lock import changing_identity
from keys.means import Report
from keys.renewal import Renewal, begin_renewal, end_renewal, pending_renewal, save_renewal


class IdentityServer(Protocol):
    """What it needs of a server; `blindfit.channel.ServerChannel` is one."""

    def renew_certificate(self, csr_pem: bytes) -> bytes:
        """A certificate (PEM) for the same tenant and the request's key."""

    def revoke_certificate(self, fingerprint: str) -> None:
        """Refuse one of this tenant's certificates (SHA-256, hex) from now on."""

    def list_keys(self) -> list[KeyStatus]:
        """A cheap call, by which a certificate is tried."""


Connect = Callable[[Identity], AbstractContextManager[IdentityServer]]


@dataclass(frozen=True, slots=True)
class IdentityRotated:
    """Fingerprints (SHA-256, hex) of the certificates."""

    old: str
    new: str


def rotate_identity(
    home: Path, connect: Connect, report: Report = lambda _: None
) -> IdentityRotated:
    """Exchange this home's mTLS key and certificate, and have the old certificate revoked.

    Goes on with a renewal that was stopped. Raises `KeyStateError` if another process is at it.
    """
    load_identity(home)  # there is something to rotate
    with changing_identity(home):
        renewal = pending_renewal(home)
        if renewal is None or not _belongs(home, renewal):
            report("making a new private key")
            renewal = begin_renewal(home)
        if not renewal.certificate_pem:
            report("requesting a certificate for it")
            renewal = _request(home, renewal, connect)
        return _take(home, renewal, connect, report)


def abort_renewal(home: Path) -> bool:
    """Give up a renewal that has no certificate yet; False if there is none.

    Raises `KeyStateError` when the server has issued the certificate: then it can only go on.
    """
    if pending_renewal(home) is None:
        return False
    with changing_identity(home):
        renewal = pending_renewal(home)
        if renewal is None:
            return False
        if renewal.certificate_pem:
            raise KeyStateError(
                "the server has issued the new certificate already",
                hint="run `blindfit-keys rotate --identity` to take it",
            )
        end_renewal(home)
        return True


def is_identity_due(identity: Identity, older_than: timedelta) -> bool:
    """Whether the certificate was issued longer ago than that."""
    issued = identity.credentials.certificate.not_valid_before_utc
    return datetime.now(UTC) - issued > older_than


def _request(home: Path, renewal: Renewal, connect: Connect) -> Renewal:
    identity, key = load_identity(home), renewal.private_key
    with connect(identity) as server:
        certificate = server.renew_certificate(certificate_request(key, identity.tenant))
    issued = issued_credentials(key, certificate)
    renewal = replace(renewal, certificate_pem=issued.certificate_pem.decode("ascii"))
    save_renewal(home, renewal)
    return renewal


def _take(home: Path, renewal: Renewal, connect: Connect, report: Report) -> IdentityRotated:
    new = renewal.issued
    with connect(replace(load_identity(home), credentials=new)) as server:
        report("trying the new certificate")
        server.list_keys()
        replace_credentials(home, new)
        report("revoking the old certificate")
        with suppress(NotFoundError):  # it was collected meanwhile: nothing to refuse
            server.revoke_certificate(renewal.old_fingerprint)
    end_renewal(home)
    return IdentityRotated(old=renewal.old_fingerprint, new=new.fingerprint)


def _belongs(home: Path, renewal: Renewal) -> bool:
    """Whether it renews the identity of now; whoever enrolled meanwhile has another one."""
    current = load_identity(home).credentials.fingerprint
    taken = bool(renewal.certificate_pem) and current == renewal.issued.fingerprint
    return taken or current == renewal.old_fingerprint


__all__ = [
    "Connect",
    "IdentityRotated",
    "IdentityServer",
    "abort_renewal",
    "is_identity_due",
    "rotate_identity",
]
