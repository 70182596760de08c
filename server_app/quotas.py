"""How much a tenant may keep on the server: its own quota, or the server's default."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import ColumnElement, Connection, and_, func, select, update

from blindfit.errors import InputError, LimitError, NotFoundError
from server_app.config import Limits
from server_app.database import Database, tenants
from server_app.database import evaluation_keys as table
from server_app.key_states import REFUSED


@dataclass(frozen=True)
class Quota:
    """Keys, their bytes together, and keys with the same parameters, that are not refused.

    ``lifetime`` is for how many seconds an active key answers.
    """

    keys: int
    key_bytes: int
    generations: int
    lifetime: float


@dataclass(frozen=True)
class OwnQuota:
    """What the operator set for one tenant; None leaves it to the server's default."""

    keys: int | None = None
    key_bytes: int | None = None
    generations: int | None = None
    lifetime: float | None = None

    def check(self) -> None:
        """Raise `InputError` for a quota with which no key could be used or replaced."""
        least = {"keys": 1, "key_bytes": 1, "generations": 2, "lifetime": 1}
        for name, minimum in least.items():
            value = getattr(self, name)
            if value is not None and value < minimum:
                raise InputError(f"a quota of {name} is at least {minimum}, not {value}")


class Quotas:
    """The quotas of a server's tenants."""

    def __init__(self, database: Database, limits: Limits):
        self._database = database
        self._limits = limits

    def of(self, tenant: str) -> Quota:
        """The quota that counts for a tenant; raises `NotFoundError`."""
        with self._database.reading() as connection:
            return quota_of(connection, tenant, self._limits)

    def used(self, tenant: str) -> tuple[int, int]:
        """How many keys a tenant has, and how many bytes they take."""
        with self._database.reading() as connection:
            return held(connection, tenant)

    def set(self, tenant: str, own: OwnQuota) -> None:
        """Replace a tenant's own quota; what it has already stays. Raises `NotFoundError`."""
        own.check()
        values = {
            "max_keys": own.keys,
            "max_key_bytes": own.key_bytes,
            "max_generations": own.generations,
            "key_lifetime": own.lifetime,
        }
        with self._database.writing() as connection:
            own_quota(connection, tenant)
            connection.execute(update(tenants).where(tenants.c.name == tenant).values(values))

    def own(self, tenant: str) -> OwnQuota:
        """What was set for a tenant alone; raises `NotFoundError`."""
        with self._database.reading() as connection:
            return own_quota(connection, tenant)


def quota_of(connection: Connection, tenant: str, limits: Limits) -> Quota:
    """The quota that counts for a tenant now; raises `NotFoundError`."""
    own = own_quota(connection, tenant)
    return Quota(
        limits.keys_per_tenant if own.keys is None else own.keys,
        limits.key_bytes_per_tenant if own.key_bytes is None else own.key_bytes,
        limits.generations_per_tenant if own.generations is None else own.generations,
        limits.key_lifetime if own.lifetime is None else own.lifetime,
    )


def own_quota(connection: Connection, tenant: str) -> OwnQuota:
    """The columns of one tenant; raises `NotFoundError`."""
    columns = (
        tenants.c.max_keys,
        tenants.c.max_key_bytes,
        tenants.c.max_generations,
        tenants.c.key_lifetime,
    )
    row = connection.execute(select(*columns).where(tenants.c.name == tenant)).one_or_none()
    if row is None:
        raise NotFoundError(
            f"there is no tenant {tenant!r}", hint="see `blindfit-server tenants list`"
        )
    return OwnQuota(*row)


def check_room(
    connection: Connection, tenant: str, params_id: str, size: int, limits: Limits
) -> None:
    """Raise `LimitError` unless a tenant may have one more key of ``size`` bytes.

    A RETIRING key counts as one of the tenant's keys, but leaves room for a further generation: it
    makes place when that becomes active.
    """
    quota = quota_of(connection, tenant, limits)
    if _count(connection, tenant, table.c.state.in_(REFUSED)) >= limits.refused_keys_per_tenant:
        raise LimitError(
            f"{limits.refused_keys_per_tenant} keys of this tenant were revoked already",
            hint="the operator of the server can raise `refused_keys_per_tenant`",
        )
    count, total = held(connection, tenant)
    if count >= quota.keys or total + size > quota.key_bytes:
        raise LimitError(
            f"the server keeps {count} keys of {total} bytes for this tenant already; its quota "
            f"is {quota.keys} keys of {quota.key_bytes} bytes",
            hint="revoke some that are not in use (`blindfit-keys list`), or ask the operator for "
            "`blindfit-server tenants quota NAME`; a rotation needs room for one more key",
        )
    lasting = and_(table.c.params_id == params_id, table.c.state.not_in({*REFUSED, "RETIRING"}))
    if _count(connection, tenant, lasting) >= quota.generations:
        raise LimitError(
            f"this tenant has {quota.generations} keys with these parameters already",
            hint="finish or abort what was begun: `blindfit-keys rotate --status`",
        )


def held(connection: Connection, tenant: str) -> tuple[int, int]:
    """How many keys a tenant has, and how many bytes they take or will take."""
    kept = and_(table.c.tenant == tenant, table.c.state.not_in(REFUSED))
    query = select(func.count(), func.coalesce(func.sum(table.c.size), 0)).where(kept)
    count, total = connection.execute(query).one()
    return int(count), int(total)


def _count(connection: Connection, tenant: str, which: ColumnElement[bool]) -> int:
    query = select(func.count()).where(table.c.tenant == tenant, which)
    return int(connection.execute(query).scalar_one())
