"""``blindfit-keys show``."""

from __future__ import annotations

from blindfit.console import HomeOption, JsonOption, emit, print_table
from blindfit.home import resolve_home
from keys.commands.options import KeyArgument


def show(key_id: KeyArgument, home: HomeOption = None, as_json: JsonOption = False) -> None:
    """Show one key and what happened to it; needs no passphrase and no server."""
    from keys.commands.connection import open_store
    from keys.commands.document import key_document

    store = open_store(resolve_home(home))
    record = store.record(key_id)
    document = key_document(record, store.primaries())
    history = [entry for entry in store.history() if entry.get("key_id") == record.key_id]

    def table() -> None:
        facts = [
            [name, ", ".join(value) if isinstance(value, list) else value or "–"]
            for name, value in document.items()
        ]
        print_table("", ["", "key"], facts)
        print_table("history", ["time", "what"], [[str(e["time"]), _told(e)] for e in history])

    emit({**document, "history": history}, as_json, table)


def _told(entry: dict[str, object]) -> str:
    if entry["event"] == "primary":
        return f"primary of {entry['model']}"
    due = f" ({entry['destroy_at']})" if entry.get("destroy_at") else ""
    told = entry["to"] if entry["from"] is None else f"{entry['from']} → {entry['to']}"
    return f"{told}{due}"
