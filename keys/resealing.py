"""Other headers for all sealed keysets: for another lock, or other recovery recipients.

Only headers change; the payloads are copied as they are. Every step may be repeated.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Final

from blindfit.errors import AccessError, InputError, KeyStateError, LimitError, SealError
from keys.inventory import KeyRecord
from keys.sealed_files import SealedFiles
from keys.stanzas import Opener, Recipient

MAX_RECIPIENTS: Final = 16  # a sealed file has room for 20 stanzas, two of them for locks
_NAME = re.compile(r"[\w.@-]{1,64}")


@dataclass(frozen=True)
class Resealing:
    """The keysets of ``records`` among ``files``, all of which ``opener`` opens."""

    files: SealedFiles
    records: Sequence[KeyRecord]
    opener: Opener

    def require_all_open(self) -> None:
        """Raises `KeyStateError` if a file does not open: resealing must not give it up."""
        for record in self.records:
            key_id = record.key_id
            try:
                self.files.require_same(key_id, self.opener, record.commitment)
            except (SealError, AccessError) as error:
                raise KeyStateError(
                    f"key {key_id[:12]} does not open ({error}); nothing was changed",
                    hint="restore its file from a backup, or destroy the key, and try again",
                    details={"key_id": key_id},
                ) from error

    def admit(self, recipient: Recipient) -> None:
        """Seal each file for ``recipient`` too."""
        for record in self.records:
            self.files.admit(record.key_id, self.opener, recipient)

    def seal_for(self, recipients: Sequence[Recipient]) -> None:
        """Seal each file for ``recipients`` and nobody else.

        A file that was damaged meanwhile stays as it is: the others must open all the same.
        """
        for record in self.records:
            try:
                self.files.reseal(record.key_id, self.opener, recipients)
            except (SealError, AccessError):
                continue  # `verify` tells of it


def require_new_name(name: str, known: Collection[str]) -> None:
    """Raises `InputError`, `KeyStateError` or `LimitError` if no recipient can get this name."""
    if not _NAME.fullmatch(name):
        raise InputError(
            f"{name!r} cannot be a recovery recipient's name",
            hint="use up to 64 letters, digits and the characters . @ _ -",
        )
    if name in known:
        raise KeyStateError(
            f"there is a recovery recipient {name!r} already",
            hint=f"run `blindfit-keys recipients remove {name}` first, or take another name",
        )
    if len(known) >= MAX_RECIPIENTS:
        raise LimitError(
            f"a key store has at most {MAX_RECIPIENTS} recovery recipients",
            hint="remove one with `blindfit-keys recipients remove NAME`",
        )


__all__ = ["MAX_RECIPIENTS", "Resealing", "require_new_name"]
