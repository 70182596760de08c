"""The server's SQLite database: tenants, their certificates, invitations and evaluation keys.

The daemon and the command line open it at the same time, so what one revokes the other refuses with
the next call. Times are seconds since 1970.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import (
    Column,
    Connection,
    Engine,
    Float,
    ForeignKey,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    create_engine,
    event,
)

from blindfit.errors import InputError
from blindfit.files import write_exclusive
from server_app.migrations import VERSION, migrate, read_version

_BUSY_SECONDS = 10

_metadata = MetaData()

tenants = Table(
    "tenants",
    _metadata,
    Column("name", String, primary_key=True),
    Column("state", String, nullable=False),  # active, revoked
    Column("models", String, nullable=True),  # JSON list; null grants every model
    Column("participant_key", String, nullable=False),  # OpenSSH text; empty if none was sent
    Column("created", Float, nullable=False),
    # Null: the server's own limit.
    Column("max_keys", Integer, nullable=True),
    Column("max_key_bytes", Integer, nullable=True),
    Column("max_generations", Integer, nullable=True),
    Column("key_lifetime", Float, nullable=True),  # seconds
)

certificates = Table(
    "certificates",
    _metadata,
    Column("fingerprint", String, primary_key=True),  # SHA-256 of the DER, hex
    Column("tenant", ForeignKey("tenants.name"), nullable=False, index=True),
    Column("state", String, nullable=False),  # active, revoked
    Column("expires", Float, nullable=False),
    Column("key_sha256", String, nullable=True),  # of its public key; null in what version 1 kept
    Column("serial", String, nullable=True),  # hex; null in what versions 1 and 2 kept
)

invitations = Table(
    "invitations",
    _metadata,
    Column("id", String, primary_key=True),
    Column("secret_sha256", LargeBinary, nullable=False),
    Column("tenant", String, nullable=False),
    Column("models", String, nullable=True),
    Column("renews", Integer, nullable=False),  # 1: for a tenant that exists already
    Column("participant", Integer, nullable=False),  # 1: may take part in trainings
    Column("expires", Float, nullable=False),
    Column("used", Float, nullable=True),
)

evaluation_keys = Table(
    "evaluation_keys",
    _metadata,
    Column("tenant", ForeignKey("tenants.name"), primary_key=True),
    Column("key_id", String, primary_key=True),
    Column("params_id", String, nullable=False),
    Column("salt", LargeBinary, nullable=False),
    Column("size", Integer, nullable=False),
    Column("state", String, nullable=False),
    Column("changed", Float, nullable=False),
    Column("deadline", Float, nullable=True),  # when a RETIRING key's grace ends
)


class Database:
    """Connections to one database file."""

    def __init__(self, engine: Engine):
        self._engine = engine

    @classmethod
    def create(cls, path: Path) -> Database:
        """Make a new database; raises FileExistsError rather than touch an old one."""
        write_exclusive(path, b"")
        database = cls(_engine(path))
        _metadata.create_all(database._engine)
        with database.writing() as connection:
            connection.exec_driver_sql(f"PRAGMA user_version = {VERSION}")
        return database

    @classmethod
    def open(cls, path: Path) -> Database:
        """Open an existing database, and bring it to this version; raises `InputError`."""
        if not path.is_file():
            raise InputError(f"{path} is missing", hint="run `blindfit-server init` first")
        database = cls(_engine(path))
        with database.reading() as connection:
            current = read_version(connection) == VERSION
        if not current:
            with database.writing() as connection:
                migrate(connection, path)
        return database

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A connection that never waits for a writer."""
        with self._engine.connect() as connection:
            yield connection

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """A transaction that no other writer interleaves with; committed at the end."""
        with self._engine.connect() as connection:
            exclusive = connection.execution_options(writing=True)
            with exclusive.begin():
                yield exclusive

    def close(self) -> None:
        """End all connections."""
        self._engine.dispose()


def _engine(path: Path) -> Engine:
    engine = create_engine(f"sqlite:///{path}", connect_args={"timeout": _BUSY_SECONDS})
    event.listen(engine, "connect", _configure)
    event.listen(engine, "begin", _begin)
    return engine


def _configure(connection: Any, _record: Any) -> None:
    # Transactions are begun by us: pysqlite would begin them only at the first write, which lets
    # two processes read the same state and then both change it.
    connection.isolation_level = None
    cursor = connection.cursor()
    cursor.execute("PRAGMA journal_mode = WAL")
    cursor.execute("PRAGMA synchronous = FULL")
    cursor.execute("PRAGMA foreign_keys = ON")
    cursor.close()


def _begin(connection: Connection) -> None:
    writing = connection.get_execution_options().get("writing", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writing else "BEGIN")
