"""Making a key the active one: a compare-and-swap, and what becomes of the keys before it."""

from __future__ import annotations

import math

from sqlalchemy import Connection, select

from blindfit.errors import InputError, KeyStateError
from blindfit.wire_types import KeyStatus
from server_app.config import Limits
from server_app.database import evaluation_keys as table
from server_app.key_records import KeyRecords, active_key, get_row, set_state
from server_app.key_states import REFUSED, check_transition
from server_app.quotas import quota_of


class KeyActivation:
    """All of it is one transaction: before it the old key is active, after it the new one."""

    def __init__(self, records: KeyRecords, limits: Limits):
        self._records = records
        self._limits = limits

    def activate(
        self, tenant: str, key_id: str, replaces: str, grace: float | None = None
    ) -> KeyStatus:
        """Make a STAGED key the active one of its parameters, if ``replaces`` is that now.

        ``replaces`` is empty when none is. The old key answers for ``grace`` seconds, at most as
        long as the server lets it, then no more; one that is expired is revoked at once, and so are
        the oldest beyond the tenant's quota of generations. Harmless when the key is active
        already. Raises `InputError`, `KeyStateError`, `KeyNotUploadedError`.
        """
        seconds = self._bounded(grace)
        with self._records.database.writing() as connection:
            row = get_row(connection, tenant, key_id)
            if row.state == "ACTIVE":
                return self._records.status(row)
            check_transition(key_id, row.state, "ACTIVE")
            active = active_key(connection, tenant, row.params_id)
            if active != replaces:
                raise KeyStateError(
                    f"the active key is not the one to replace, but {active or 'none'}",
                    hint="look at the active key first: `blindfit-keys list`",
                    details={"key_id": key_id, "active": active},
                )
            if active:
                self._retire(connection, tenant, active, seconds)
            set_state(connection, tenant, key_id, "ACTIVE", self._records.clock())
            self._revoke_oldest(connection, tenant, row.params_id)
            return self._records.status(get_row(connection, tenant, key_id))

    def _bounded(self, grace: float | None) -> float:
        if grace is None:
            return self._limits.retiring_grace
        if not math.isfinite(grace) or grace < 0:
            raise InputError(f"a grace is a number of seconds from 0 on, not {grace}")
        return min(grace, self._limits.retiring_grace)

    def _retire(self, connection: Connection, tenant: str, key_id: str, seconds: float) -> None:
        now = self._records.clock()
        lifetime = quota_of(connection, tenant, self._limits).lifetime
        if self._records.expired(get_row(connection, tenant, key_id), lifetime):
            set_state(connection, tenant, key_id, "REVOKED", now)
        else:
            set_state(connection, tenant, key_id, "RETIRING", now, now + seconds)

    def _revoke_oldest(self, connection: Connection, tenant: str, params_id: str) -> None:
        of_params = (table.c.tenant == tenant, table.c.params_id == params_id)
        query = select(table).where(*of_params, table.c.state.not_in(REFUSED))
        kept = connection.execute(query.order_by(table.c.changed)).all()
        excess = len(kept) - quota_of(connection, tenant, self._limits).generations
        retiring = [row for row in kept if row.state == "RETIRING"]
        for row in retiring[: max(0, excess)]:
            set_state(connection, tenant, row.key_id, "REVOKED", self._records.clock())
