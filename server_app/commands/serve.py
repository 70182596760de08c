"""`blindfit-server serve`."""

from __future__ import annotations

from typing import Annotated

import typer

from blindfit.console import HomeOption, JsonOption


def serve(
    home: HomeOption = None,
    listen: Annotated[
        str | None, typer.Option("--listen", metavar="HOST:PORT", help="Instead of the configured.")
    ] = None,
    enroll_listen: Annotated[
        str | None,
        typer.Option("--enroll-listen", metavar="HOST:PORT", help="Instead of the configured."),
    ] = None,
    workers: Annotated[
        int | None, typer.Option("--workers", min=1, help="Processes that run circuits.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Serve models until SIGTERM or Ctrl-C; then finish the accepted rows and end."""
    from blindfit.home import resolve_home
    from server_app.daemon import serve_home

    serve_home(resolve_home(home), listen, enroll_listen, workers, as_json=as_json)
