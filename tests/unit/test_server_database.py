"""A database of an earlier version is brought to this one, and nothing of it is lost."""

from __future__ import annotations

import sqlite3
import threading

import pytest
from fixtures_server import open_tenants, request_for
from sqlalchemy.exc import SQLAlchemyError

from blindfit.errors import BlindfitError, InputError
from server_app.config import Limits
from server_app.database import Database
from server_app.home import create_home
from server_app.invitations import invite
from server_app.layout import Layout
from server_app.quotas import OwnQuota, Quota, Quotas

VERSION_1 = """
CREATE TABLE tenants (name VARCHAR NOT NULL PRIMARY KEY, state VARCHAR NOT NULL, models VARCHAR,
  participant_key VARCHAR NOT NULL, created FLOAT NOT NULL);
CREATE TABLE certificates (fingerprint VARCHAR NOT NULL PRIMARY KEY, tenant VARCHAR NOT NULL
  REFERENCES tenants (name), state VARCHAR NOT NULL, expires FLOAT NOT NULL);
CREATE TABLE invitations (id VARCHAR NOT NULL PRIMARY KEY, secret_sha256 BLOB NOT NULL,
  tenant VARCHAR NOT NULL, models VARCHAR, renews INTEGER NOT NULL, participant INTEGER NOT NULL,
  expires FLOAT NOT NULL, used FLOAT);
CREATE TABLE evaluation_keys (tenant VARCHAR NOT NULL REFERENCES tenants (name),
  key_id VARCHAR NOT NULL, params_id VARCHAR NOT NULL, salt BLOB NOT NULL, size INTEGER NOT NULL,
  state VARCHAR NOT NULL, changed FLOAT NOT NULL, deadline FLOAT, PRIMARY KEY (tenant, key_id));
INSERT INTO tenants VALUES ('clinic', 'active', '["digits"]', '', 5.0);
INSERT INTO certificates VALUES ('ab', 'clinic', 'active', 9e9);
INSERT INTO evaluation_keys VALUES ('clinic', 'cd', 'ef', x'00', 64, 'ACTIVE', 7.0, NULL);
PRAGMA user_version = 1;
"""


@pytest.fixture
def home(tmp_path):
    create_home(tmp_path / "home", [])
    path = Layout(tmp_path / "home").database
    path.unlink()
    with sqlite3.connect(path) as connection:
        connection.executescript(VERSION_1)
    return tmp_path / "home"


def rows(home, table):
    with sqlite3.connect(Layout(home).database) as connection:
        return list(connection.execute(f"SELECT * FROM {table}"))


def test_what_version_1_kept_is_all_there(home):
    before = {name: rows(home, name) for name in ("tenants", "certificates", "evaluation_keys")}
    tenants = open_tenants(home)
    assert tenants.identify("ab").models == {"digits"}
    for name, kept in before.items():
        for old, new in zip(kept, rows(home, name), strict=True):
            assert new[: len(old)] == old
            assert set(new[len(old) :]) <= {None}


def test_a_tenant_of_version_1_has_the_servers_quota_and_can_get_its_own(home):
    quotas = Quotas(Database.open(Layout(home).database), Limits())
    assert quotas.of("clinic").keys == Limits().keys_per_tenant
    quotas.set("clinic", OwnQuota(1, 2, 3, 4.0))
    assert quotas.of("clinic") == Quota(1, 2, 3, 4.0)
    open_tenants(home).enroll(invite(home, "clinic", renews=True).token, request_for(), "")


def test_two_programs_that_open_an_old_database_at_once_do_it_once(home):
    errors = []

    def attempt():
        try:
            Database.open(Layout(home).database).close()
        except (BlindfitError, SQLAlchemyError) as error:
            errors.append(error)

    threads = [threading.Thread(target=attempt) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert len(rows(home, "tenants")[0]) == 9


def test_a_migrated_database_has_the_columns_of_a_new_one(home, tmp_path):
    Database.open(Layout(home).database).close()
    create_home(tmp_path / "new", [])
    assert columns(home) == columns(tmp_path / "new")


def columns(home):
    with sqlite3.connect(Layout(home).database) as connection:
        names = ("tenants", "certificates", "invitations", "evaluation_keys")
        return {
            name: [(c[1], c[2]) for c in connection.execute(f"PRAGMA table_info({name})")]
            for name in names
        }


@pytest.mark.parametrize("version", [0, 4, 99])
def test_a_database_of_an_unknown_version_is_left_alone(home, version):
    path = Layout(home).database
    with sqlite3.connect(path) as connection:
        connection.execute(f"PRAGMA user_version = {version}")
    before = dump(path)
    with pytest.raises(InputError, match=f"has format {version}"):
        Database.open(path)
    assert dump(path) == before


def dump(path):
    with sqlite3.connect(path) as connection:
        return list(connection.iterdump())
