"""Bringing a database of an earlier version to this one, in the transaction of its opening."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import Connection

from blindfit.errors import InputError

VERSION = 3

# By the version that they start from. Each only adds, so that nothing is lost.
_STEPS: dict[int, tuple[str, ...]] = {
    1: (
        "ALTER TABLE tenants ADD COLUMN max_keys INTEGER",
        "ALTER TABLE tenants ADD COLUMN max_key_bytes INTEGER",
        "ALTER TABLE tenants ADD COLUMN max_generations INTEGER",
        "ALTER TABLE tenants ADD COLUMN key_lifetime FLOAT",
        "ALTER TABLE certificates ADD COLUMN key_sha256 VARCHAR",
    ),
    2: ("ALTER TABLE certificates ADD COLUMN serial VARCHAR",),
}


def read_version(connection: Connection) -> int:
    """The version of the format that a database is in."""
    return int(connection.exec_driver_sql("PRAGMA user_version").scalar_one())


def migrate(connection: Connection, path: Path) -> None:
    """Take every step from the database's version to `VERSION`; raises `InputError`."""
    version = read_version(connection)
    if version != VERSION and version not in _STEPS:
        raise InputError(f"{path} has format {version}; this program reads up to {VERSION}")
    for step in range(version, VERSION):
        for statement in _STEPS[step]:
            connection.exec_driver_sql(statement)
    connection.exec_driver_sql(f"PRAGMA user_version = {VERSION}")
