"""Cleaning up evaluation keys: what is over is ended, what is refused is removed."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass

from sqlalchemy import ColumnElement, and_
from sqlalchemy.exc import SQLAlchemyError

from blindfit.errors import BlindfitError, KeyNotUploadedError, KeyStateError
from blindfit.wire_types import KeyState
from server_app.config import Limits
from server_app.database import evaluation_keys as table
from server_app.key_records import KeyRecords, find_row
from server_app.key_states import REFUSED
from server_app.key_uploads import KeyUploads

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Collected:
    """What one collection did, in numbers of keys and files."""

    revoked: int
    deleted: int
    expired_uploads: int
    expired_staged: int
    stray_files: int


class KeyCollection:
    """Safe to run at any time, also beside a daemon."""

    def __init__(self, records: KeyRecords, limits: Limits):
        self._records = records
        self._uploads = KeyUploads(records, limits)
        self._limits = limits

    def collect(self) -> Collected:
        """End what is over: graces, uploads, keys nobody activated; remove what is refused."""
        revoked = self._end_graces()
        uploads = self._expire("UPLOADING", self._limits.upload_expiry)
        staged = self._expire("STAGED", self._limits.staged_expiry)
        deleted = self._delete_refused()
        return Collected(revoked, deleted, uploads, staged, self._remove_strays())

    def _end_graces(self) -> int:
        over = and_(table.c.state == "RETIRING", table.c.deadline <= self._records.clock())
        return self._each(over, lambda tenant, key: self._records.change(tenant, key, "REVOKED"))

    def _expire(self, state: KeyState, age: float) -> int:
        """Give back the quota of what never became active; nobody can have used it."""
        over = and_(table.c.state == state, table.c.changed <= self._records.clock() - age)
        return self._each(over, lambda tenant, key: self._uploads.forget(tenant, key, state))

    def _delete_refused(self) -> int:
        def remove(tenant: str, key_id: str) -> None:
            self._records.files.remove(tenant, key_id)
            self._records.change(tenant, key_id, "DELETED")

        return self._each(table.c.state == "REVOKED", remove)

    def _remove_strays(self) -> int:
        """Files that a crash left between a row's change and their removal."""
        count = 0
        for tenant, key_id, file in list(self._records.files.stored()):
            # Exclusive: an upload that begins just now writes its row and its file in one.
            with self._records.database.writing() as connection:
                row = find_row(connection, tenant, key_id)
                if row is None or row.state in REFUSED:
                    file.unlink(missing_ok=True)
                    count += 1
        return count

    def _each(self, which: ColumnElement[bool], act: Callable[[str, str], object]) -> int:
        count = 0
        for row in self._records.where(which):
            # Its tenant may revoke, commit or forget a key between the look-up and the change.
            with suppress(KeyNotUploadedError, KeyStateError):
                act(row.tenant, row.key_id)
                count += 1
        return count


async def keep_collecting(collection: KeyCollection, every: float) -> None:
    """Collect now and then, ``every`` so many seconds, until it is cancelled."""
    while True:
        try:
            collected = await asyncio.to_thread(collection.collect)
            if any(asdict(collected).values()):
                _log.info("collected evaluation keys: %s", asdict(collected))
        except (BlindfitError, SQLAlchemyError, OSError):
            # Else graces and quotas would stay as they are until the next start.
            _log.exception("collecting evaluation keys failed; it is tried again")
        await asyncio.sleep(every)
