"""Other headers for all sealed keysets: for another lock, or other recovery recipients.

Only headers change; the payloads are copied as they are. Every step may be repeated.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Final

from blindfit.errors import AccessError, InputError, KeyStateError, LimitError, SealError
from keys.inventory import KeyRecord
from keys.sealed_files import SealedFiles
from keys.stanzas import Opener, Recipient
from keys.wiping import Unshared, wipe

MAX_RECIPIENTS: Final = 16  # a sealed file has room for 20 stanzas, two of them for locks
_NAME = re.compile(r"[\w.@-]{1,64}")


@dataclass(frozen=True)
class Resealing(Unshared):
    """The keysets in ``files`` whose data keys are known, by key_id."""

    files: SealedFiles
    data_keys: Mapping[str, bytearray] = field(repr=False)

    def admit(self, recipient: Recipient) -> None:
        """Seal each file for ``recipient`` too."""
        for key_id, data_key in self.data_keys.items():
            self.files.admit(key_id, data_key, recipient)

    def seal_for(self, recipients: Sequence[Recipient]) -> None:
        """Seal each file for ``recipients`` and nobody else.

        A file that was damaged meanwhile stays as it is: the others must open all the same.
        """
        for key_id, data_key in self.data_keys.items():
            try:
                self.files.reseal(key_id, data_key, recipients)
            except (SealError, AccessError):
                continue  # `verify` tells of it


@contextmanager
def all_open(
    files: SealedFiles, records: Sequence[KeyRecord], opener: Opener
) -> Iterator[Resealing]:
    """Every keyset of ``records``; their data keys are wiped at the end.

    Raises `KeyStateError` if one does not open: resealing must not give it up.
    """
    with _wiped_at_the_end() as data_keys:
        for record in records:
            key_id = record.key_id
            try:
                data_keys[key_id] = files.committed_data_key(key_id, opener, record.commitment)
            except (SealError, AccessError) as error:
                raise KeyStateError(
                    f"key {key_id[:12]} does not open ({error}); nothing was changed",
                    hint="restore its file from a backup, or destroy the key, and try again",
                    details={"key_id": key_id},
                ) from error
        yield Resealing(files, data_keys)


@contextmanager
def those_that_open(
    files: SealedFiles, records: Sequence[KeyRecord], opener: Opener
) -> Iterator[Resealing]:
    """The keysets of ``records`` without those that were damaged; wiped as by `all_open`."""
    with _wiped_at_the_end() as data_keys:
        for record in records:
            with suppress(SealError, AccessError):  # `verify` tells of it
                data_keys[record.key_id] = files.committed_data_key(
                    record.key_id, opener, record.commitment
                )
        yield Resealing(files, data_keys)


@contextmanager
def _wiped_at_the_end() -> Iterator[dict[str, bytearray]]:
    data_keys: dict[str, bytearray] = {}
    try:
        yield data_keys
    finally:
        for data_key in data_keys.values():
            wipe(data_key)


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


__all__ = ["MAX_RECIPIENTS", "Resealing", "all_open", "require_new_name", "those_that_open"]
