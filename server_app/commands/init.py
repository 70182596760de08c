"""`blindfit-server init`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from blindfit.console import JsonOption, emit

HostOption = Annotated[
    list[str] | None,
    typer.Option("--host", help="Name or address by which clients reach this server; repeatable."),
]


def init(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A new or empty folder.")],
    host: HostOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make a server's home: certificate authority, publisher key, database, configuration."""
    from blindfit.signing import fingerprint
    from server_app.authority import load_publisher_public
    from server_app.home import create_home

    layout = create_home(folder.expanduser().resolve(), host or [])
    public = load_publisher_public(layout.home)
    document = {
        "home": str(layout.home),
        "config": str(layout.config),
        "publisher_key": public,
        "publisher_fingerprint": fingerprint(bytes.fromhex(public)),
    }

    def human() -> None:
        print(f"initialised {layout.home}")
        print(f"publisher key {document['publisher_fingerprint']}")
        print(f"addresses and limits are in {layout.config}")
        print(f"next: blindfit-server serve --home {layout.home}")

    emit(document, as_json, human)
