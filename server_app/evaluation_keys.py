"""Tenants' evaluation keys: which there are, which is active, and which may be used now."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import delete, true

from blindfit.errors import (
    KeyExpiredError,
    KeyMismatchError,
    KeyNotUploadedError,
    KeyRevokedError,
    KeyStagedError,
)
from blindfit.wire_types import KeyState, KeyStatus
from server_app.config import Limits
from server_app.database import evaluation_keys as table
from server_app.key_records import KeyRecords, get_row, is_key, set_state
from server_app.key_states import REFUSED
from server_app.quotas import quota_of
from server_app.runner import KeyRef


@dataclass(frozen=True)
class TenantKey:
    """A key and whose it is."""

    tenant: str
    status: KeyStatus


class EvaluationKeys:
    """The evaluation keys on one server, once they are uploaded (see ``key_uploads.py``)."""

    def __init__(self, records: KeyRecords, limits: Limits):
        self._records = records
        self._limits = limits

    def status(self, tenant: str, key_id: str) -> KeyStatus:
        """One key of a tenant; raises `KeyNotUploadedError`."""
        return self._records.status(self._records.get(tenant, key_id))

    def of_tenant(self, tenant: str) -> list[KeyStatus]:
        """All keys of a tenant, tombstones too, oldest change first."""
        return [key.status for key in self.all(tenant)]

    def all(self, tenant: str | None = None) -> list[TenantKey]:
        """The keys of one tenant, or of all."""
        which = true() if tenant is None else table.c.tenant == tenant
        rows = self._records.where(which)
        return [TenantKey(row.tenant, self._records.status(row)) for row in rows]

    def revoke(self, tenant: str, key_id: str) -> KeyStatus:
        """Refuse a key for good, then remove its bytes. Harmless when that was done already.

        An upload that was never complete could not be used: it leaves nothing behind.
        """
        with self._records.database.writing() as connection:
            row = get_row(connection, tenant, key_id)
            if row.state not in REFUSED:
                set_state(connection, tenant, key_id, "REVOKED", self._records.clock())
            status = self._records.status(get_row(connection, tenant, key_id))
        self._records.files.remove(tenant, key_id)
        if row.state == "UPLOADING":
            with self._records.database.writing() as connection:
                connection.execute(delete(table).where(is_key(tenant, key_id)))
        return status

    def usable(self, tenant: str, key_id: str, params_id: str, *, prove: bool) -> KeyRef:
        """The key for a circuit with ``params_id``; ``prove`` allows a STAGED one.

        Raises `KeyNotUploadedError`, `KeyRevokedError`, `KeyExpiredError`, `KeyMismatchError` or
        `KeyStagedError`.
        """
        with self._records.database.reading() as connection:
            row = get_row(connection, tenant, key_id)
            lifetime = quota_of(connection, tenant, self._limits).lifetime
        state = self._records.state(row)
        _check_usable(key_id, state, matches=row.params_id == params_id, prove=prove)
        if self._records.expired(row, lifetime):
            raise KeyExpiredError(
                f"key {key_id[:16]} has been active for longer than this server allows",
                details={"key_id": key_id, "state": state},
            )
        return KeyRef(key_id, row.salt, self._records.files.path(tenant, key_id), row.size)


def _check_usable(key_id: str, state: KeyState, *, matches: bool, prove: bool) -> None:
    name, details = f"key {key_id[:16]}", {"key_id": key_id, "state": state}
    if state in REFUSED:
        raise KeyRevokedError(f"{name} was revoked", details=details)
    if not matches:
        raise KeyMismatchError(f"{name} is for other parameters than this model", details=details)
    if state == "UPLOADING":
        raise KeyNotUploadedError(f"the upload of {name} is not complete", details=details)
    if state == "STAGED" and not prove:
        raise KeyStagedError(f"{name} is staged and not active yet", details=details)
