"""`blindfit-client models`: what the server offers, and what is known of it."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import typer

from blindfit.card_command import (
    CardFormatOption,
    CardModelArgument,
    CardOutOption,
    CardVersionOption,
    emit_card,
)
from blindfit.console import HomeOption, JsonOption, emit, print_table

app = typer.Typer(invoke_without_command=True)


@app.callback()
def models(context: typer.Context, home: HomeOption = None, as_json: JsonOption = False) -> None:
    """List the models that this client may use; `models card` tells more of one."""
    if context.invoked_subcommand is None:
        _list(home, as_json)
    else:
        context.obj = (home, as_json)  # given before the subcommand's name


@app.command()
def card(
    context: typer.Context,
    model: CardModelArgument,
    version: CardVersionOption = None,
    card_format: CardFormatOption = None,
    out: CardOutOption = None,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Write a model's card, made here from the manifest that its publisher signed."""
    from blindfit.bundle import fetch_manifest
    from blindfit.home import resolve_home
    from keys.connecting import connect
    from keys.identity import load_identity

    outer_home, outer_json = context.obj
    identity = load_identity(resolve_home(home or outer_home))
    with connect(identity) as channel:
        manifest = fetch_manifest(channel, identity.publisher_key, model, version).manifest
    emit_card(manifest, card_format, out, as_json or outer_json)


def _list(home: Path | None, as_json: bool) -> None:
    from blindfit.home import resolve_home
    from keys.connecting import connect
    from keys.identity import load_identity
    from keys.store import KeyStore

    folder = resolve_home(home)
    with connect(load_identity(folder)) as channel:
        summaries = channel.list_models()
    store = KeyStore.of(folder)
    primaries = store.primaries()

    def keys_for(model: str, params_id: str) -> str:
        if model not in primaries:
            return "none yet"
        key = store.active(params_id)
        return key.key_id[:12] if key else "other parameters"

    rows = [
        [s.model, f"{s.version}{' *' if s.current else ''}", s.estimator, s.created,
         keys_for(s.model, s.params_id)]
        for s in summaries
    ]  # fmt: skip

    def human() -> None:
        if not rows:
            print("The server has no model for this client yet.")
            return
        print_table("", ["model", "version", "estimator", "published", "your keys"], rows)
        print("* what you get without --version")

    emit({"models": [asdict(summary) for summary in summaries]}, as_json, human)
