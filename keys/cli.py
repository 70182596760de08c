"""``blindfit-keys``: one subcommand a module, in ``keys/commands``."""

from __future__ import annotations

from typing import NoReturn

from blindfit.console import make_app, run
from keys.commands import recipients
from keys.commands.backup import backup
from keys.commands.compromised import compromised
from keys.commands.create import create
from keys.commands.destroy import destroy
from keys.commands.list import list_keys
from keys.commands.passphrase import passphrase
from keys.commands.restore import restore
from keys.commands.revoke import revoke
from keys.commands.rotate import rotate
from keys.commands.show import show
from keys.commands.suspend import suspend
from keys.commands.verify import verify

app = make_app("blindfit-keys", "The life of your secret keys: they never leave this machine.")
app.command()(create)
app.command("list")(list_keys)
app.command()(show)
app.command()(rotate)
app.command()(revoke)
app.command()(compromised)
app.command()(suspend)
app.command()(destroy)
app.command()(backup)
app.command()(restore)
app.add_typer(recipients.app, name="recipients")
app.command()(passphrase)
app.command()(verify)


def main() -> NoReturn:
    """The command's entry point."""
    from keys.private import disable_core_dumps

    disable_core_dumps()
    run(app)


if __name__ == "__main__":
    main()
