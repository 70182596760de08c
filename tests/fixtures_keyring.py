"""An OS keyring in memory: what the ``keyring`` package would find on a desktop."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import keyring
from keyring.backend import KeyringBackend


class MemoryKeyring(KeyringBackend):
    """Keeps its secrets in ``entries``, by service and name."""

    priority = 1

    def __init__(self, entries: dict[tuple[str, str], str] | None = None):
        super().__init__()
        self.entries = dict(entries or {})

    def get_password(self, service, username):
        return self.entries.get((service, username))

    def set_password(self, service, username, password):
        self.entries[service, username] = password

    def delete_password(self, service, username):
        del self.entries[service, username]


@contextmanager
def os_keyring(backend: KeyringBackend) -> Iterator[KeyringBackend]:
    """``backend`` as the machine's keyring for the length of a ``with`` block."""
    before = keyring.get_keyring()
    keyring.set_keyring(backend)
    try:
        yield backend
    finally:
        keyring.set_keyring(before)
