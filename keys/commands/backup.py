"""``blindfit-keys backup``."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, BinaryIO

import typer

from blindfit.console import HomeOption, JsonOption, PassphraseFileOption, emit, say
from blindfit.errors import InputError
from blindfit.home import resolve_home

if TYPE_CHECKING:
    from keys.recovery import RecoveryRecipient
    from keys.store import KeyStore


def backup(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The new file of the backup.")],
    recipient: Annotated[
        list[str] | None,
        typer.Option(
            "--recipient",
            help="The public text of a recovery key that may restore it; may be repeated.",
            show_default="the recovery recipients of the keys",
        ),
    ] = None,
    home: HomeOption = None,
    passphrase_file: PassphraseFileOption = None,
    as_json: JsonOption = False,
) -> None:
    """Write all keys into one sealed file that `restore` opens with a recovery key.

    The identity towards the server is not in it: a new machine enrolls anew.
    """
    from keys.commands.confirming import note_fingerprint
    from keys.commands.connection import open_store, unlocked_store

    folder = resolve_home(home)
    _recipients(open_store(folder), recipient or [])  # refuses before anything is asked
    store = unlocked_store(folder, passphrase_file)
    recipients = _recipients(store, recipient or [])
    with _new_file(file) as target:
        count = store.back_up(target, recipients)
    fingerprint = store.fingerprint()
    say(
        f"{file} holds {count} keysets. {note_fingerprint(fingerprint)}\n"
        "Anybody can make a backup for a recovery key, but not with this fingerprint."
    )
    document = {
        "file": str(file),
        "keys": count,
        "store": fingerprint,
        "recipients": [str(recipient) for recipient in recipients],
    }
    emit(document, as_json, lambda: print(fingerprint))


def _recipients(store: KeyStore, texts: list[str]) -> list[RecoveryRecipient]:
    from keys.recovery import RecoveryRecipient

    found = [RecoveryRecipient.parse(text) for text in texts or store.recipients().values()]
    if not found:
        raise InputError(
            "nobody could restore this backup: the keys have no recovery recipient",
            hint="make a recovery key with `blindfit-keys recipients new KEYFILE`, and pass the "
            "text that it prints: --recipient PUBLIC",
        )
    return found


@contextmanager
def _new_file(path: Path) -> Iterator[BinaryIO]:
    """A private file that gets its name when it is whole; raises `InputError` if it exists."""
    from blindfit.files import PRIVATE, sync_folder

    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}.tmp")
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        if path.exists() or path.is_symlink():
            raise FileExistsError
        with os.fdopen(os.open(temporary, flags, PRIVATE), "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.link(temporary, path)
        sync_folder(path.parent)
    except FileExistsError as error:
        raise InputError(f"{path} exists; a backup is never overwritten") from error
    except OSError as error:
        raise InputError(f"cannot write {path}: {error.strerror}") from error
    finally:
        temporary.unlink(missing_ok=True)
