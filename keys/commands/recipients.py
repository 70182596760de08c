"""``blindfit-keys recipients``: who can open the keys if the passphrase is lost."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from blindfit.console import (
    HomeOption,
    JsonOption,
    PassphraseFileOption,
    emit,
    print_table,
    say,
)
from blindfit.errors import InputError
from blindfit.home import resolve_home

if TYPE_CHECKING:
    from keys.store import KeyStore

app = typer.Typer(no_args_is_help=True, help="Who can open the keys if the passphrase is lost.")

NameArgument = Annotated[str, typer.Argument(metavar="NAME", help="Whose recovery key it is.")]
_COPIES = "Copies and backups that were made before open as before."


@app.command()
def new(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Where the recovery key goes.")],
    as_json: JsonOption = False,
) -> None:
    """Make a recovery key in FILE and print its public text, for `recipients add`.

    FILE opens every keyset that is sealed for it: keep it offline, away from the keys.
    """
    from keys.recovery import RecoveryKey

    key = RecoveryKey.generate()
    try:
        key.write(file)
    except FileExistsError as error:
        raise InputError(f"{file} exists; a recovery key is never overwritten") from error
    except OSError as error:
        raise InputError(f"cannot write {file}: {error.strerror}") from error
    public = str(key.recipient)
    say(f"{file} opens every keyset that is sealed for it: keep it offline, away from the keys.")
    emit({"file": str(file), "public": public}, as_json, lambda: print(public))


@app.command()
def add(
    name: NameArgument,
    public: Annotated[
        str, typer.Argument(metavar="PUBLIC", help="The text that `recipients new` printed.")
    ],
    home: HomeOption = None,
    passphrase_file: PassphraseFileOption = None,
    as_json: JsonOption = False,
) -> None:
    """Seal every keyset for a recovery key too, and those that come."""
    from keys.commands.confirming import note_fingerprint
    from keys.commands.connection import unlocked_store
    from keys.recovery import RecoveryRecipient

    recipient = RecoveryRecipient.parse(public)
    store = unlocked_store(resolve_home(home), passphrase_file)
    store.add_recipient(name, recipient)
    say(f"{name}'s recovery key opens every keyset now.\n{note_fingerprint(store.fingerprint())}")
    _emit(store, as_json)


@app.command()
def remove(
    name: NameArgument,
    home: HomeOption = None,
    passphrase_file: PassphraseFileOption = None,
    as_json: JsonOption = False,
) -> None:
    """Seal every keyset without this recovery key.

    Copies and backups that were made before open with it as before: whoever should not read any
    more needs new keys (`blindfit-keys rotate --all`).
    """
    from keys.commands.connection import unlocked_store
    from keys.unlocking import loss_warning

    store = unlocked_store(resolve_home(home), passphrase_file)
    store.remove_recipient(name)
    say(f"{name}'s recovery key opens no file here any more. {_COPIES}")
    if not store.recipients():
        say(loss_warning(store))
    _emit(store, as_json)


@app.command("list")
def list_recipients(home: HomeOption = None, as_json: JsonOption = False) -> None:
    """List what opens the keys, and the store's fingerprint; needs no passphrase."""
    from keys.commands.connection import open_store
    from keys.unlocking import loss_warning

    store = open_store(resolve_home(home))
    if store.exists and not store.recipients():
        say(loss_warning(store))
    _emit(store, as_json)


def _emit(store: KeyStore, as_json: bool) -> None:
    recipients = store.recipients()
    lock, fingerprint = store.lock_kind(), store.fingerprint()

    def table() -> None:
        rows = [["(lock)", lock], *([name, public] for name, public in recipients.items())]
        print(f"the store's fingerprint: {fingerprint}")
        print_table("opened by", ["name", "what"], rows)

    document = {
        "lock": lock,
        "store": fingerprint,
        "recipients": [{"name": n, "public": public} for n, public in recipients.items()],
    }
    emit(document, as_json, table)
