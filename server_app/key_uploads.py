"""Uploading evaluation keys: begin, chunks in order, commit. Every step can be repeated."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, delete, insert, update

from blindfit.errors import InputError, KeyRevokedError, KeyStateError, LimitError
from blindfit.frame import Frame
from blindfit.key_id import SALT_BYTES
from blindfit.manifest import SHA256
from blindfit.upload_window import PIECE_BYTES
from blindfit.wire_types import KeyState, KeyStatus
from server_app.config import Limits
from server_app.database import evaluation_keys as table
from server_app.key_files import Upload
from server_app.key_records import KeyRecords, find_row, get_row, is_key, set_state
from server_app.key_states import REFUSED
from server_app.quotas import check_room


@dataclass(frozen=True)
class Announcement:
    """What a client says of a key before it sends it; ``size`` in bytes."""

    key_id: str
    params_id: str
    salt: bytes
    size: int


class KeyUploads:
    """Takes keys in. Methods block on disk: call them from a thread."""

    def __init__(self, records: KeyRecords, limits: Limits):
        self._records = records
        self._limits = limits

    def begin(self, tenant: str, announced: Announcement, frame: Frame) -> KeyStatus:
        """Reserve the quota of a key. Repeating it tells how much has arrived.

        ``frame`` is that of evaluation keys with the announced parameters. Raises `InputError`,
        `LimitError`, or `KeyRevokedError` for an id that was refused for good.
        """
        self._check(announced, frame)
        key_id = announced.key_id
        with self._records.database.writing() as connection:
            row = find_row(connection, tenant, key_id)
            if row is None:
                limits, size = self._limits, announced.size
                check_room(connection, tenant, announced.params_id, size, limits)
                self._insert(connection, tenant, announced)
                row = get_row(connection, tenant, key_id)
            _check_same(row, announced)
            if row.state == "UPLOADING":
                self._records.files.begin(tenant, key_id)
                refreshed = update(table).where(is_key(tenant, key_id))
                connection.execute(refreshed.values(changed=self._records.clock()))
        return self._records.status(row)

    def resume(self, tenant: str, key_id: str) -> Upload:
        """The upload that pieces belong to.

        Raises `KeyNotUploadedError`, or `KeyStateError` when the upload is over.
        """
        row = self._records.get(tenant, key_id)
        if row.state != "UPLOADING":
            raise KeyStateError(f"key {key_id[:16]} is {row.state}; its upload is over")
        return _upload(row)

    def write(self, upload: Upload, offset: int, data: bytes) -> int:
        """Add a piece, at an offset that has been reached; returns how many bytes there are now.

        Raises `KeyNotUploadedError` when the upload is over by now, `InputError`.
        """
        if len(data) > PIECE_BYTES:
            raise InputError(f"a piece of a key has at most {PIECE_BYTES} bytes, not {len(data)}")

        def still_begun() -> bool:
            row = self._records.get(upload.tenant, upload.key_id)
            return row.state == "UPLOADING" and _upload(row) == upload

        return self._records.files.write(upload, offset, data, still_begun)

    def commit(self, tenant: str, key_id: str, frame_of: Callable[[str], Frame]) -> KeyStatus:
        """Check a key's bytes; it becomes STAGED. Harmless when it is that or further already.

        ``frame_of`` gives the frame of evaluation keys by params_id. Bytes that are wrong end the
        upload: which of them are is unknown.
        """
        row = self._records.get(tenant, key_id)
        if row.state != "UPLOADING":
            return self._records.status(row)
        frame = frame_of(row.params_id)
        if row.size != frame.length:
            raise InputError(f"keys with these parameters have {frame.length} bytes by now")
        try:
            self._records.files.finish(_upload(row), frame)
        except InputError:
            self.forget(tenant, key_id)
            raise
        return self._stage(row)

    def _stage(self, checked: Row[Any]) -> KeyStatus:
        """Only the very row whose bytes were checked: it may have been revoked and begun anew."""
        with self._records.database.writing() as connection:
            row = get_row(connection, checked.tenant, checked.key_id)
            if row.state == "UPLOADING":
                if _announced(row) != _announced(checked):
                    raise InputError("the key was begun again differently; upload it again")
                set_state(connection, row.tenant, row.key_id, "STAGED", self._records.clock())
            return self._records.status(get_row(connection, row.tenant, row.key_id))

    def forget(self, tenant: str, key_id: str, state: KeyState = "UPLOADING") -> None:
        """Drop a key that is in ``state`` still, as if it had never begun: it may come again.

        The row goes first: a crash may leave bytes without a row, never a row without its bytes.
        """
        with self._records.database.writing() as connection:
            row = find_row(connection, tenant, key_id)
            if row is not None and row.state == state:
                connection.execute(delete(table).where(is_key(tenant, key_id)))
        # Exclusive: an upload that begins just now writes its row and its file in one.
        with self._records.database.writing() as connection:
            if find_row(connection, tenant, key_id) is None:
                self._records.files.remove(tenant, key_id)

    def _insert(self, connection: Connection, tenant: str, announced: Announcement) -> None:
        values = {
            "tenant": tenant,
            "key_id": announced.key_id,
            "params_id": announced.params_id,
            "salt": announced.salt,
            "size": announced.size,
            "state": "UPLOADING",
            "changed": self._records.clock(),
        }
        connection.execute(insert(table).values(values))

    def _check(self, announced: Announcement, frame: Frame) -> None:
        if not re.fullmatch(SHA256, announced.key_id):
            raise InputError("a key_id is a SHA-256 in lower-case hex")
        if len(announced.salt) != SALT_BYTES:
            raise InputError(f"the salt has {len(announced.salt)} bytes, not {SALT_BYTES}")
        if announced.size != frame.length:
            raise InputError(
                f"keys with these parameters have {frame.length} bytes, not {announced.size}",
                hint="create the keys for this model: `blindfit-keys create --model MODEL`",
            )
        largest = self._limits.max_evaluation_key
        if announced.size > largest:
            raise LimitError(f"the key has {announced.size} bytes; this server takes {largest}")


def _announced(row: Row[Any]) -> tuple[str, bytes, int]:
    return row.params_id, row.salt, row.size


def _upload(row: Row[Any]) -> Upload:
    return Upload(row.tenant, row.key_id, row.salt, row.size)


def _check_same(row: Row[Any], announced: Announcement) -> None:
    if row.state in REFUSED:
        raise KeyRevokedError(
            f"key {row.key_id[:16]} was revoked, and its id is never accepted again",
            details={"key_id": row.key_id, "state": row.state},
        )
    if _announced(row) != (announced.params_id, announced.salt, announced.size):
        raise InputError(f"key {row.key_id[:16]} was announced differently before")
