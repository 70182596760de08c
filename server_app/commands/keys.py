"""`blindfit-server keys`: the evaluation keys that tenants have uploaded."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from blindfit.console import HomeOption, JsonOption, emit, print_table

if TYPE_CHECKING:
    from server_app.config import Limits
    from server_app.evaluation_keys import EvaluationKeys
    from server_app.key_records import KeyRecords

app = typer.Typer(no_args_is_help=True, help="Evaluation keys of the tenants.")

TenantOption = Annotated[str | None, typer.Option("--tenant", help="Only this tenant's.")]


@app.command("list")
def list_keys(
    tenant: TenantOption = None, home: HomeOption = None, as_json: JsonOption = False
) -> None:
    """List the keys, their states and sizes."""
    lines = [
        {
            "tenant": key.tenant,
            "key_id": key.status.key_id,
            "state": key.status.state,
            "bytes": key.status.size,
            "received": key.status.received,
            "params_id": key.status.params_id,
        }
        for key in _keys(home).all(tenant)
    ]

    def human() -> None:
        columns = ["tenant", "key_id", "state", "bytes", "received"]
        print_table("", columns, [[str(line[name]) for name in columns] for line in lines])

    emit({"keys": lines}, as_json, human)


@app.command()
def revoke(
    tenant: Annotated[str, typer.Argument(metavar="TENANT", help="Whose key it is.")],
    key_id: Annotated[
        str, typer.Argument(metavar="KEY_ID", help="The key_id, or the first digits of it.")
    ],
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Refuse a key for good and remove its bytes."""
    keys = _keys(home)
    key_id = _whole_id(keys, tenant, key_id)
    status = keys.revoke(tenant, key_id)
    document = {"tenant": tenant, "key_id": key_id, "state": status.state}
    emit(document, as_json, lambda: print(f"revoked {key_id} of {tenant}"))


@app.command()
def gc(home: HomeOption = None, as_json: JsonOption = False) -> None:
    """End what is over, and remove the bytes of refused keys; a daemon does it, too."""
    from server_app.key_collection import KeyCollection

    collected = KeyCollection(*_records(home)).collect()
    document = {
        "revoked": collected.revoked,
        "deleted": collected.deleted,
        "expired_uploads": collected.expired_uploads,
        "expired_staged": collected.expired_staged,
        "stray_files": collected.stray_files,
    }

    def human() -> None:
        for name, count in document.items():
            print(f"{name.replace('_', ' ')}: {count}")

    emit(document, as_json, human)


def _whole_id(keys: EvaluationKeys, tenant: str, prefix: str) -> str:
    """The one key_id of a tenant that begins so: clients show the first digits."""
    from blindfit.errors import InputError, NotFoundError

    found = [key.status.key_id for key in keys.all(tenant) if key.status.key_id.startswith(prefix)]
    if len(found) == 1:
        return found[0]
    hint = f"see `blindfit-server keys list --tenant {tenant}`"
    if found:
        raise InputError(f"{len(found)} keys of {tenant} begin with {prefix!r}", hint=hint)
    raise NotFoundError(f"{tenant} has no key that begins with {prefix!r}", hint=hint)


def _keys(home: Path | None) -> EvaluationKeys:
    from server_app.evaluation_keys import EvaluationKeys

    return EvaluationKeys(*_records(home))


def _records(home: Path | None) -> tuple[KeyRecords, Limits]:
    from blindfit.home import resolve_home
    from server_app.config import load_config
    from server_app.database import Database
    from server_app.key_records import KeyRecords
    from server_app.layout import Layout

    layout = Layout.existing(resolve_home(home))
    records = KeyRecords.open(layout, Database.open(layout.database))
    return records, load_config(layout.home).limits
