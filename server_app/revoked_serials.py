"""Which certificates of our authority are to be refused, as a list for programs like nginx."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import or_, select

from blindfit.files import PUBLIC, write_atomic
from server_app.database import Database, certificates, tenants
from server_app.layout import Layout
from server_app.revocation_list import revocation_list


@dataclass(frozen=True)
class Written:
    """How many certificates are on the list; how many cannot be, and when the last expires."""

    listed: int
    unlisted: int
    unlisted_until: float | None  # seconds since 1970


def write_revocation_list(home: Path, file: Path) -> Written:
    """Write the PEM of all certificates that are refused and not expired yet.

    Those that a server before database version 3 issued have no serial number here: they cannot
    be listed.
    """
    refused = _refused(home)
    serials = [int(serial, 16) for serial, _ in refused if serial is not None]
    unlisted = [expires for serial, expires in refused if serial is None]
    write_atomic(file, revocation_list(home, serials), PUBLIC)
    return Written(len(serials), len(unlisted), max(unlisted, default=None))


def _refused(home: Path) -> list[tuple[str | None, float]]:
    query = (
        select(certificates.c.serial, certificates.c.expires)
        .join(tenants, tenants.c.name == certificates.c.tenant)
        .where(
            or_(certificates.c.state != "active", tenants.c.state != "active"),
            certificates.c.expires > time.time(),
        )
    )
    database = Database.open(Layout.existing(home).database)
    with database.reading() as connection:
        rows = connection.execute(query).all()
    database.close()
    return [(row.serial, row.expires) for row in rows]
