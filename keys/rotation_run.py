"""A rotation under way: what its steps share, and how they note how far they are."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from blindfit.errors import KeyStateError
from keys.journal import Journal
from keys.journals import Journals
from keys.keyset import Keyset
from keys.means import Means, Report, server_state


@dataclass
class Run:
    """``keyset`` is the new one, once it was generated or opened."""

    means: Means
    journals: Journals
    journal: Journal
    report: Report
    keyset: Keyset | None = None

    @property
    def new_key_id(self) -> str:
        """The new key; raises `KeyStateError` before there is one."""
        if self.journal.new_key_id is None:
            raise KeyStateError(
                f"rotation {self.journal.rotation_id} has no new key yet",
                hint=f"run `blindfit-keys rotate --resume {self.journal.rotation_id}`",
            )
        return self.journal.new_key_id

    def new_keyset(self) -> Keyset:
        """The new keyset, opened from the store if another process generated it."""
        if self.keyset is None:
            self.keyset = self.means.store.open(self.new_key_id)
        return self.keyset

    def wipe(self) -> None:
        """Overwrite the new secret, as far as Python allows; it is on disk, sealed."""
        if self.keyset is not None:
            self.keyset.wipe()
            self.keyset = None

    def note(self, **changes: Any) -> None:
        """Write the journal with these fields changed."""
        self.journal = replace(self.journal, **changes)
        self.journals.save(self.means.store, self.journal)

    def server_state(self, key_id: str) -> str | None:
        """The state of a key on the server; None if it does not have it."""
        return server_state(self.means.server, key_id)

    def is_stored(self, key_id: str) -> bool:
        """Whether the store has a record of this key."""
        return any(record.key_id == key_id for record in self.means.store.records())


__all__ = ["Run"]
