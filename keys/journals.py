"""The folder of journals, ``<root>/rotations``: what is going on, and that it goes on only once.

A rotation holds a lock on its params_id for as long as its process runs; a journal without that
lock belongs to a process that died or was stopped, and may be gone on with.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from blindfit.errors import (
    AccessError,
    BlindfitError,
    IntegrityError,
    KeyStateError,
    NotFoundError,
    UnavailableError,
)
from blindfit.files import sweep_temporary, sync_folder, write_atomic
from blindfit.strict_json import canonical, loads_strict
from keys.journal import PURPOSE, Journal, decode_journal, encode_journal
from keys.lock import exclusive
from keys.private import read_private, refuse_shared_folder, require_private_folder
from keys.store import KeyStore
from keys.unlocked_store import UnlockedStore

_ENDING = ".json"
_MAX_BYTES = 1 << 20
_PATIENCE = 0.5  # seconds


class Journals:
    """The journals of a store; reading them needs no passphrase, and checks their signatures."""

    def __init__(self, store: KeyStore):
        self._store = store
        self._folder = store.root / "rotations"

    def all(self) -> list[Journal]:
        """Every rotation that is not over, oldest first; raises `IntegrityError`, `AccessError`."""
        found = [self._read(path) for path in self._paths()]
        return sorted(
            (journal for journal in found if journal), key=lambda journal: journal.started
        )

    def damaged(self) -> list[BlindfitError]:
        """Why files are no journals of this store, or may not be read; each names its file."""
        errors: list[BlindfitError] = []
        try:
            paths = sorted(self._paths())
        except AccessError as error:
            return [error]
        for path in paths:
            try:
                self._read(path)
            except (IntegrityError, AccessError) as error:
                errors.append(error)
        return errors

    def find(self, rotation_id: str) -> Journal:
        """The journal with this id or unique beginning of it; raises `NotFoundError`."""
        found = [j for j in self.all() if rotation_id and j.rotation_id.startswith(rotation_id)]
        if len(found) != 1:
            raise NotFoundError(
                f"there is no rotation {rotation_id!r} that is going on",
                hint="run `blindfit-keys rotate --status`",
            )
        return found[0]

    def of(self, params_id: str) -> Journal | None:
        """The rotation of keys of these parameters, if one is not over."""
        return next((j for j in self.all() if j.params_id == params_id), None)

    def is_running(self, journal: Journal) -> bool:
        """Whether a process is at it now."""
        try:
            with exclusive(self._lock_path(journal.params_id), timeout=0):
                return False
        except UnavailableError:
            return True

    @contextmanager
    def only_one(self, params_id: str) -> Iterator[None]:
        """Be the one process that changes keys of these parameters.

        Raises `KeyStateError`, which names the rotation that another process is at.
        """
        require_private_folder(self._store.root)
        require_private_folder(self._folder)
        with ExitStack() as stack:
            try:
                # `is_running` holds it too, for an instant.
                stack.enter_context(exclusive(self._lock_path(params_id), timeout=_PATIENCE))
            except UnavailableError as error:
                raise self._busy(params_id) from error
            yield

    def save(self, store: UnlockedStore, journal: Journal) -> None:
        """Write a journal, signed, in place of its former self."""
        content = encode_journal(journal)
        document = {
            "journal": json.loads(content),
            "signature": store.sign(content, PURPOSE).hex(),
        }
        with self._writing():
            write_atomic(self._path(journal.rotation_id), json.dumps(document).encode())

    def remove(self, journal: Journal) -> None:
        """The rotation is over."""
        with self._writing():
            self._path(journal.rotation_id).unlink(missing_ok=True)
            sync_folder(self._folder)

    def _busy(self, params_id: str) -> KeyStateError:
        journal = self.of(params_id)
        what = f"rotation {journal.rotation_id}" if journal else "another process"
        models = f" for {', '.join(journal.models)}" if journal else ""
        return KeyStateError(
            f"{what} is changing the keys of these parameters{models}",
            hint="wait until it is over; `blindfit-keys rotate --status` shows how far it is",
        )

    def _read(self, path: Path) -> Journal | None:
        try:
            content = read_private(path)
        except FileNotFoundError:
            return None  # its rotation has ended meanwhile
        return self._checked(path, content)

    def _checked(self, path: Path, content: bytes) -> Journal:
        try:
            journal = self._signed(content)
        except (IntegrityError, ValueError, TypeError, KeyError, RecursionError) as error:
            raise IntegrityError(
                f"{path} is damaged: {error}",
                hint="move it away, and rotate again; until then no rotation can go on",
            ) from error
        if path.stem != journal.rotation_id:
            raise IntegrityError(
                f"{path} holds the journal of rotation {journal.rotation_id}",
                hint="somebody or something renamed it; give it its name back",
            )
        return journal

    def _signed(self, content: bytes) -> Journal:
        document = loads_strict(content[:_MAX_BYTES])
        signature = bytes.fromhex(document["signature"])
        signed = canonical(document["journal"])
        self._store.require_signed(signed, signature, PURPOSE)
        return decode_journal(signed)

    @contextmanager
    def _writing(self) -> Iterator[None]:
        with exclusive(require_private_folder(self._folder) / "lock"):
            sweep_temporary(self._folder)
            yield

    def _paths(self) -> Iterator[Path]:
        refuse_shared_folder(self._folder)
        return self._folder.glob(f"[0-9a-f]*{_ENDING}")

    def _path(self, rotation_id: str) -> Path:
        return self._folder / f"{rotation_id}{_ENDING}"

    def _lock_path(self, params_id: str) -> Path:
        return self._folder / f"{params_id}.lock"


__all__ = ["Journals"]
