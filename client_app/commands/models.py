"""`blindfit-client models`: what the server offers."""

from __future__ import annotations

from dataclasses import asdict

from blindfit.console import HomeOption, JsonOption, emit, print_table


def models(home: HomeOption = None, as_json: JsonOption = False) -> None:
    """List the models that this client may use."""
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
