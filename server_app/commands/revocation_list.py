"""`blindfit-server tenants crl`."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from blindfit.console import HomeOption, JsonOption, emit, say


def crl(
    out: Annotated[
        Path | None, typer.Option("--out", help="File to write [default: HOME/ca/crl.pem].")
    ] = None,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Write the list of revoked certificates for nginx; reload nginx after it."""
    from blindfit.home import resolve_home
    from server_app.layout import Layout
    from server_app.revoked_serials import write_revocation_list

    folder = resolve_home(home)
    file = out or Layout.existing(folder).revocation_list
    written = write_revocation_list(folder, file)
    if written.unlisted_until is not None:
        until = datetime.fromtimestamp(written.unlisted_until, UTC).isoformat(timespec="seconds")
        say(
            f"warning: {written.unlisted} revoked certificates are from an earlier version, which "
            f"kept no serial numbers; nginx accepts them until {until}"
        )
    document = {"file": str(file), "revoked": written.listed, "unlisted": written.unlisted}
    emit(document, as_json, lambda: print(f"wrote {file}: {written.listed} revoked certificates"))
