"""`blindfit-client`: join a federation, predict encrypted rows. Imports nothing heavy."""

from __future__ import annotations

from blindfit import console
from client_app.commands.budget import app as budget
from client_app.commands.doctor import doctor
from client_app.commands.enroll import enroll
from client_app.commands.join import join
from client_app.commands.models import app as models
from client_app.commands.predict import predict

app = console.make_app(
    "blindfit-client",
    "Take part in a training with your own rows, and get predictions that only you can read.",
)
for command in (enroll, join, predict, doctor):
    app.command()(command)
app.add_typer(models, name="models")
app.add_typer(budget, name="budget")


def main() -> None:
    """The entry point."""
    from keys.private import disable_core_dumps

    disable_core_dumps()  # every command reads the identity's private key, or makes it
    console.run(app)


if __name__ == "__main__":
    main()
