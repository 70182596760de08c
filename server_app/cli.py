"""`blindfit-server`: each subcommand is a module of its own, and imports what it needs when run."""

from __future__ import annotations

from typing import NoReturn

from blindfit.console import make_app, run
from server_app.commands import keys, models, study, tenants
from server_app.commands.init import init
from server_app.commands.serve import serve
from server_app.commands.train import train

app = make_app("blindfit-server", "Train, publish and serve models that predict on encrypted rows.")
app.command()(init)
app.command()(serve)
app.command()(train)
app.add_typer(study.app, name="study")
app.add_typer(models.app, name="models")
app.add_typer(tenants.app, name="tenants")
app.add_typer(keys.app, name="keys")


def main() -> NoReturn:
    """The command `blindfit-server`."""
    run(app)
