"""Invitations: one-time secrets that let a newcomer become a tenant.

The token is ``id.secret``. Only the secret's SHA-256 is stored; the id finds the row, so that the
secret itself is compared in constant time.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import re
import secrets
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Row, func, insert, select, update

from blindfit.errors import InputError, InvitationError
from blindfit.invitation import TENANT_NAME, Invitation
from server_app.authority import load_publisher_public
from server_app.config import Config, load_config
from server_app.database import Database, invitations, tenants
from server_app.layout import Layout
from server_app.running import find_running

_SECRET_BYTES = 32


def invite(
    home: Path,
    name: str,
    models: Sequence[str] | None = None,
    *,
    renews: bool = False,
    participant: bool = False,
) -> Invitation:
    """Make an invitation for the tenant ``name``.

    ``models`` are the models it may use; None grants all. ``renews`` gives a tenant that exists
    already another certificate. ``participant`` lets it take part in trainings, too. Raises
    `InputError` for a name that cannot be given.
    """
    layout, config = Layout.existing(home), load_config(home)
    if not re.fullmatch(TENANT_NAME, name):
        raise InputError(
            f"{name!r} cannot be a tenant's name",
            hint="use up to 63 of a-z 0-9 . _ - and begin with a letter or a digit",
        )
    identifier, secret = secrets.token_hex(8), secrets.token_urlsafe(_SECRET_BYTES)
    expires = time.time() + config.limits.invitation_lifetime
    database = Database.open(layout.database)
    with database.writing() as connection:
        _check_name(connection, name, renews)
        row = {
            "id": identifier,
            "secret_sha256": _digest(secret),
            "tenant": name,
            "models": None if models is None else json.dumps(sorted(set(models))),
            "renews": int(renews),
            "participant": int(participant),
            "expires": expires,
            "used": None,
        }
        connection.execute(insert(invitations).values(row))
    database.close()
    federation = _reachable(config, config.federation_listen) if participant else None
    return _document(layout, config, name, f"{identifier}.{secret}", expires, federation)


def consume(connection: Connection, token: str, now: float) -> Row[Any]:
    """Use up the invitation of ``token`` within the caller's transaction; returns its row.

    Raises `InvitationError`.
    """
    row = find_invitation(connection, token, now)
    change = update(invitations).where(invitations.c.id == row.id).values(used=now)
    connection.execute(change)
    return row


def find_invitation(connection: Connection, token: str, now: float) -> Row[Any]:
    """The row of an invitation that can be used; raises `InvitationError`, not telling why."""
    identifier, _, secret = token.partition(".")
    row = connection.execute(
        select(invitations).where(invitations.c.id == identifier)
    ).one_or_none()
    stored = row.secret_sha256 if row else bytes(hashlib.sha256().digest_size)
    matches = hmac.compare_digest(stored, _digest(secret))
    if row is None or not matches or row.used is not None or row.expires < now:
        raise InvitationError("the invitation is unknown, used or expired")
    return row


def cancel_invitations(connection: Connection, name: str, now: float) -> int:
    """Use up what invitations of a name are left; returns how many could have been used."""
    left = (invitations.c.tenant == name, invitations.c.used.is_(None))
    usable = select(func.count()).where(*left, invitations.c.expires >= now)
    count = int(connection.execute(usable).scalar_one())
    connection.execute(update(invitations).where(*left).values(used=now))
    return count


def _check_name(connection: Connection, name: str, renews: bool) -> None:
    exists = connection.execute(select(tenants.c.name).where(tenants.c.name == name)).first()
    if exists and not renews:
        raise InputError(
            f"the tenant {name!r} exists already",
            hint="choose another name, or give it another certificate with --renew",
        )
    if renews and not exists:
        raise InputError(f"there is no tenant {name!r} to renew", hint="leave out --renew")


def _document(
    layout: Layout, config: Config, name: str, token: str, expires: float, federation: str | None
) -> Invitation:
    running = find_running(layout)
    return Invitation(
        tenant=name,
        token=token,
        address=_reachable(config, running.address if running else config.listen),
        enroll_address=_reachable(
            config, running.enroll_address if running else config.enroll_listen
        ),
        federation_address=federation,
        ca_pem=layout.ca_certificate.read_text(),
        publisher_key=load_publisher_public(layout.home),
        expires=datetime.fromtimestamp(expires, UTC).isoformat(timespec="seconds"),
    )


def _reachable(config: Config, listens: str) -> str:
    """The public host with the port of a listening address."""
    return f"{config.host}:{listens.rpartition(':')[2]}"


def _digest(secret: str) -> bytes:
    return hashlib.sha256(secret.encode()).digest()
