"""`blindfit-server tenants`: who may use this server."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from blindfit.console import HomeOption, JsonOption, emit, print_table
from server_app.commands.quota import quota
from server_app.commands.revocation_list import crl

app = typer.Typer(no_args_is_help=True, help="Clients and participants of this server.")
app.command()(quota)
app.command()(crl)

NameArgument = Annotated[str, typer.Argument(metavar="NAME", help="The tenant's name.")]


@app.command("list")
def list_tenants(home: HomeOption = None, as_json: JsonOption = False) -> None:
    """List all tenants, revoked ones too."""
    from blindfit.home import resolve_home
    from server_app.tenants import open_tenants

    tenants = open_tenants(resolve_home(home))
    lines = [
        {
            "tenant": tenant.name,
            "state": tenant.state,
            "certificates": tenants.certificates(tenant.name),
            "models": "all" if tenant.models is None else sorted(tenant.models),
            "participant": bool(tenant.participant_key),
            "created": datetime.fromtimestamp(tenant.created, UTC).isoformat(timespec="seconds"),
        }
        for tenant in tenants.all()
    ]

    def human() -> None:
        columns = ["tenant", "state", "certificates", "models", "participant", "created"]
        print_table("", columns, [[str(line[name]) for name in columns] for line in lines])

    emit({"tenants": lines}, as_json, human)


@app.command()
def invite(
    name: NameArgument,
    out: Annotated[
        Path | None, typer.Option("--out", help="File to write [default: NAME.invitation].")
    ] = None,
    model: Annotated[
        list[str] | None, typer.Option("--model", help="A model it may use [default: all].")
    ] = None,
    participant: Annotated[
        bool, typer.Option("--participant", help="It may take part in trainings, too.")
    ] = False,
    renew: Annotated[
        bool, typer.Option("--renew", help="Another certificate for a tenant that exists.")
    ] = False,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Write an invitation file: a one-time secret for `blindfit-client enroll FILE`."""
    from blindfit.errors import InputError
    from blindfit.files import write_exclusive
    from blindfit.home import resolve_home
    from server_app.invitations import invite

    path = Path(f"{name}.invitation") if out is None else out
    if path.exists():
        raise InputError(f"{path} exists already", hint="choose another file with --out")
    if not path.parent.is_dir():
        raise InputError(f"{path.parent} is not a folder", hint="make it, or choose another --out")
    invitation = invite(
        resolve_home(home), name, model or None, renews=renew, participant=participant
    )
    write_exclusive(path, invitation.to_bytes())
    document = {"tenant": name, "file": str(path), "expires": invitation.expires}

    def human() -> None:
        print(f"wrote {path}, to be used once before {invitation.expires}")
        print("it holds a secret: send it over a channel that you trust")

    emit(document, as_json, human)


@app.command()
def revoke(name: NameArgument, home: HomeOption = None, as_json: JsonOption = False) -> None:
    """Refuse a tenant from now on; a running daemon obeys with the next call."""
    from blindfit.home import resolve_home
    from server_app.tenants import open_tenants

    open_tenants(resolve_home(home)).revoke(name)
    emit({"tenant": name, "state": "revoked"}, as_json, lambda: print(f"revoked {name}"))
