"""Tenants: who may use this server, known by the SHA-256 of their certificates alone."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives import serialization
from sqlalchemy import Connection, Row, insert, select, update

from blindfit.errors import AccessError, InputError, InvitationError, NotFoundError
from blindfit.roster import normal_participant_key
from server_app import database as db
from server_app.authority import sign_request
from server_app.certificates import active_certificates, keep_certificate
from server_app.config import load_config
from server_app.database import Database
from server_app.invitations import cancel_invitations, consume, find_invitation
from server_app.layout import Layout


@dataclass(frozen=True)
class Tenant:
    """A client's identity; ``models`` of None grants every model."""

    name: str
    state: str  # active, revoked
    models: frozenset[str] | None
    participant_key: str
    created: float

    def may_use(self, model: str) -> bool:
        """Whether the operator granted this model."""
        return self.models is None or model in self.models


class Tenants:
    """The tenants of one server."""

    def __init__(self, home: Path, database: Database, certificate_lifetime: float):
        self._home = home
        self._database = database
        self._lifetime = certificate_lifetime

    def enroll(self, token: str, csr_pem: bytes, participant_key: str) -> tuple[str, bytes]:
        """Use up an invitation; returns the tenant's name and its new certificate, PEM.

        ``participant_key`` is an OpenSSH public key on P-384, or empty. All or nothing: a request
        that is refused leaves the invitation usable. Raises `InvitationError` or `InputError`.
        """
        participant_key = normal_participant_key(participant_key) if participant_key else ""
        now = time.time()
        # Anybody can send a token: a wrong one must not hold up those who write.
        with self._database.reading() as connection:
            find_invitation(connection, token, now)
        with self._database.writing() as connection:
            invited = consume(connection, token, now)
            _check_role(bool(invited.participant), participant_key)
            certificate = sign_request(self._home, csr_pem, invited.tenant, self._lifetime)
            _keep_tenant(connection, invited, participant_key, now)
            keep_certificate(connection, invited.tenant, certificate)
        return invited.tenant, certificate.public_bytes(serialization.Encoding.PEM)

    def identify(self, fingerprint: str) -> Tenant:
        """The active tenant with this certificate (SHA-256, hex), as of now.

        Asked for every call, without a cache: what is revoked is refused from the next call on.
        Raises `AccessError`.
        """
        query = (
            select(db.tenants)
            .join(db.certificates, db.certificates.c.tenant == db.tenants.c.name)
            .where(
                db.certificates.c.fingerprint == fingerprint,
                db.certificates.c.state == "active",
                db.certificates.c.expires > time.time(),
                db.tenants.c.state == "active",
            )
        )
        with self._database.reading() as connection:
            row = connection.execute(query).one_or_none()
        if row is None:
            raise AccessError(
                "this certificate is not, or no longer, a tenant's",
                hint="ask the operator for an invitation, then run `blindfit-client enroll FILE`",
            )
        return _tenant(row)

    def all(self) -> list[Tenant]:
        """All tenants, revoked ones too, by name."""
        with self._database.reading() as connection:
            rows = connection.execute(select(db.tenants).order_by(db.tenants.c.name)).all()
        return [_tenant(row) for row in rows]

    def certificates(self, name: str) -> int:
        """How many certificates of a tenant are accepted now."""
        with self._database.reading() as connection:
            return active_certificates(connection, name)

    def revoke(self, name: str) -> None:
        """Refuse a tenant, all its certificates and invitations from now on.

        A name that was only invited can be revoked, too. Raises `NotFoundError`.
        """
        with self._database.writing() as connection:
            cancelled = cancel_invitations(connection, name, time.time())
            change = update(db.tenants).where(db.tenants.c.name == name).values(state="revoked")
            if not connection.execute(change).rowcount and not cancelled:
                raise NotFoundError(
                    f"there is no tenant {name!r}", hint="see `blindfit-server tenants list`"
                )
            connection.execute(
                update(db.certificates)
                .where(db.certificates.c.tenant == name)
                .values(state="revoked")
            )


def open_tenants(home: Path) -> Tenants:
    """The tenants of the server in ``home``."""
    database = Database.open(Layout.existing(home).database)
    return Tenants(home, database, load_config(home).limits.certificate_lifetime)


def participant_keys(home: Path) -> dict[str, str]:
    """The OpenSSH public keys of active tenants that can take part in trainings, by name."""
    database = Database.open(Layout.existing(home).database)
    query = select(db.tenants.c.name, db.tenants.c.participant_key).where(
        db.tenants.c.state == "active", db.tenants.c.participant_key != ""
    )
    with database.reading() as connection:
        rows = connection.execute(query.order_by(db.tenants.c.name)).all()
    database.close()
    return {row.name: row.participant_key for row in rows}


def _check_role(participant: bool, participant_key: str) -> None:
    if participant and not participant_key:
        raise InputError("a participant's enrollment needs a participant's key")
    if participant_key and not participant:
        raise InputError(
            "this invitation is for predictions only",
            hint="ask for one that was made with `tenants invite NAME --participant`",
        )


def _keep_tenant(
    connection: Connection,
    invited: Row[Any],
    participant_key: str,
    now: float,
) -> None:
    name, models = invited.tenant, invited.models
    known = connection.execute(select(db.tenants).where(db.tenants.c.name == name)).one_or_none()
    if known is None:
        values = {
            "name": name,
            "state": "active",
            "models": models,
            "participant_key": participant_key,
            "created": now,
        }
        connection.execute(insert(db.tenants).values(values))
    elif not invited.renews:
        # Two invitations for one new name: the first to come has it.
        raise InvitationError("the invitation is unknown, used or expired")
    else:
        if known.state != "active":
            # What a thief renewed before the tenant was revoked must not come back with it.
            older = update(db.certificates).where(db.certificates.c.tenant == name)
            connection.execute(older.values(state="revoked"))
        change = {
            "state": "active",
            "models": known.models if models is None else models,
            "participant_key": participant_key or known.participant_key,
        }
        connection.execute(update(db.tenants).where(db.tenants.c.name == name).values(change))


def _tenant(row: Row[Any]) -> Tenant:
    models = None if row.models is None else frozenset(json.loads(row.models))
    return Tenant(row.name, row.state, models, row.participant_key, row.created)
