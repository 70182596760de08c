"""The record of each evaluation key: its row in the database, and what its file adds to it.

Every look-up is by tenant and key_id together, so another tenant's key is simply not there.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast

from sqlalchemy import ColumnElement, Connection, Row, and_, select, update

from blindfit.errors import KeyNotUploadedError
from blindfit.wire_types import KeyState, KeyStatus
from server_app.database import Database
from server_app.database import evaluation_keys as table
from server_app.key_files import KeyFiles
from server_app.key_states import check_transition
from server_app.layout import Layout

Clock = Callable[[], float]


@dataclass(frozen=True)
class KeyRecords:
    """Rows, files and the clock, shared by all that is done with keys."""

    database: Database
    files: KeyFiles
    clock: Clock = time.time

    @classmethod
    def open(cls, layout: Layout, database: Database) -> KeyRecords:
        """The records of a server's home."""
        return cls(database, KeyFiles(layout.evaluation_keys))

    def get(self, tenant: str, key_id: str) -> Row[Any]:
        """A key's row; raises `KeyNotUploadedError`."""
        with self.database.reading() as connection:
            return get_row(connection, tenant, key_id)

    def where(self, condition: ColumnElement[bool]) -> list[Row[Any]]:
        """The rows with a condition, by tenant, oldest change first."""
        query = select(table).where(condition).order_by(table.c.tenant, table.c.changed)
        with self.database.reading() as connection:
            return list(connection.execute(query).all())

    def state(self, row: Row[Any]) -> KeyState:
        """The state now: a grace ends by the clock, not when somebody writes it down."""
        if row.state == "RETIRING" and row.deadline <= self.clock():
            return "REVOKED"
        return cast(KeyState, row.state)

    def expired(self, row: Row[Any], lifetime: float) -> bool:
        """Whether a key has been the active one for ``lifetime`` seconds."""
        return bool(row.state == "ACTIVE" and row.changed + lifetime <= self.clock())

    def status(self, row: Row[Any]) -> KeyStatus:
        """What a tenant is told about a key."""
        state = self.state(row)
        uploading = state == "UPLOADING"
        received = self.files.received(row.tenant, row.key_id) if uploading else row.size
        return KeyStatus(row.key_id, row.params_id, state, row.size, received)

    def change(self, tenant: str, key_id: str, state: KeyState) -> KeyStatus:
        """Bring a key to a state; harmless if it has it. Raises `KeyStateError`."""
        with self.database.writing() as connection:
            row = get_row(connection, tenant, key_id)
            if row.state != state:
                check_transition(key_id, row.state, state)
                set_state(connection, tenant, key_id, state, self.clock())
            return self.status(get_row(connection, tenant, key_id))


def is_key(tenant: str, key_id: str) -> ColumnElement[bool]:
    """The condition that finds one key."""
    return and_(table.c.tenant == tenant, table.c.key_id == key_id)


def find_row(connection: Connection, tenant: str, key_id: str) -> Row[Any] | None:
    """A key's row, or None."""
    return connection.execute(select(table).where(is_key(tenant, key_id))).one_or_none()


def get_row(connection: Connection, tenant: str, key_id: str) -> Row[Any]:
    """A key's row; raises `KeyNotUploadedError`."""
    row = find_row(connection, tenant, key_id)
    if row is None:
        # The same for a key that another tenant has: the answer must not tell whether it exists.
        raise KeyNotUploadedError("the server does not have this evaluation key")
    return row


def active_key(connection: Connection, tenant: str, params_id: str) -> str:
    """The key_id that is ACTIVE for these parameters; empty if none is."""
    query = select(table.c.key_id).where(
        table.c.tenant == tenant, table.c.params_id == params_id, table.c.state == "ACTIVE"
    )
    return connection.execute(query).scalar_one_or_none() or ""


def set_state(
    connection: Connection,
    tenant: str,
    key_id: str,
    state: KeyState,
    now: float,
    deadline: float | None = None,
) -> None:
    """Write a state; the caller has checked that it may follow."""
    change = {"state": state, "changed": now, "deadline": deadline}
    connection.execute(update(table).where(is_key(tenant, key_id)).values(change))
