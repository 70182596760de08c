"""`blindfit-server tenants quota`."""

from __future__ import annotations

from typing import Annotated

import typer

from blindfit.console import HomeOption, JsonOption, emit


def quota(
    name: Annotated[str, typer.Argument(metavar="NAME", help="The tenant's name.")],
    keys: Annotated[
        int | None, typer.Option("--keys", metavar="N", help="Evaluation keys.")
    ] = None,
    size: Annotated[
        str | None, typer.Option("--bytes", metavar="SIZE", help="All of them, such as 2GiB.")
    ] = None,
    generations: Annotated[
        int | None, typer.Option("--generations", metavar="N", help="Keys of equal parameters.")
    ] = None,
    lifetime: Annotated[
        str | None,
        typer.Option("--lifetime", metavar="DURATION", help="Of an active key, such as 90d."),
    ] = None,
    reset: Annotated[
        bool, typer.Option("--reset", help="Go back to the server's limits first.")
    ] = False,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show what a tenant may keep here, after changing what is given; obeyed at once."""
    from datetime import timedelta

    from blindfit.durations import parse_duration
    from blindfit.home import resolve_home
    from server_app.config import load_config
    from server_app.database import Database
    from server_app.layout import Layout
    from server_app.quotas import OwnQuota, Quotas
    from server_app.sizes import parse_size

    layout = Layout.existing(resolve_home(home))
    quotas = Quotas(Database.open(layout.database), load_config(layout.home).limits)
    before = OwnQuota() if reset else quotas.own(name)
    own = OwnQuota(
        before.keys if keys is None else keys,
        before.key_bytes if size is None else parse_size(size),
        before.generations if generations is None else generations,
        before.lifetime if lifetime is None else parse_duration(lifetime).total_seconds(),
    )
    if reset or own != before:
        quotas.set(name, own)
    allowed, (count, total) = quotas.of(name), quotas.used(name)
    document = {
        "tenant": name,
        "keys": {"used": count, "limit": allowed.keys, "own": own.keys is not None},
        "bytes": {"used": total, "limit": allowed.key_bytes, "own": own.key_bytes is not None},
        "generations": {"limit": allowed.generations, "own": own.generations is not None},
        "lifetime": {"limit": allowed.lifetime, "own": own.lifetime is not None},
    }

    def human() -> None:
        print(f"keys: {count} of {allowed.keys}")
        print(f"bytes: {total} of {allowed.key_bytes}")
        print(f"generations: up to {allowed.generations}")
        print(f"lifetime of an active key: {timedelta(seconds=allowed.lifetime)}")

    emit(document, as_json, human)
