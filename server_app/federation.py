"""The Flower ServerApp: a thin adapter over `server_app.rounds`."""

from __future__ import annotations

import os
from pathlib import Path

from flwr.app import Context
from flwr.serverapp import Grid, ServerApp
from flwr.superlink.grid.http_grid import HttpGrid

from server_app.inline_grid import InlineGrid
from server_app.rounds import conduct
from server_app.run_folder import RUN_FOLDER_VARIABLE, RunFolder


def make_server_app(folder: Path) -> ServerApp:
    """The ServerApp that trains the study of the run in ``folder``."""

    def main(grid: Grid, context: Context) -> None:
        del context
        conduct(InlineGrid(grid) if isinstance(grid, HttpGrid) else grid, RunFolder(folder))

    server_app = ServerApp()
    server_app.main()(main)
    return server_app


app = make_server_app(Path(os.environ.get(RUN_FOLDER_VARIABLE, ".")))
