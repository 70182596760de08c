"""`blindfit-server train`, unchanged, but that all its SuperLink receives is kept for the search.

    python -m demo.recording_train DATABASE STUDY --home HOME ...

Flower's SuperLink works in memory, as `train` starts it. Here it keeps participants' messages in
the SQLite file DATABASE, which the demo reads while it grows.
"""

from __future__ import annotations

import sys
from pathlib import Path


def main(database: str, *arguments: str) -> None:
    """``blindfit-server train`` with a SuperLink that has a database."""
    from server_app import cli, superlink

    in_memory = superlink._command

    def on_disk(host: str, port: int, tls: superlink.Tls) -> list[str]:
        return [*in_memory(host, port, tls), "--database", database]

    Path(database).parent.mkdir(parents=True, exist_ok=True)
    superlink._command = on_disk
    sys.argv = ["blindfit-server", "train", *arguments]
    cli.main()


if __name__ == "__main__":
    main(*sys.argv[1:])
