"""What is wrong with a key store, in words that say what to do.

Each check returns findings and changes nothing. What cannot be found here, a whole folder that was
put back to an earlier copy, shows in the comparison with what the server holds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from blindfit.errors import AccessError, BlindfitError, IntegrityError, SealError
from keys.journals import Journals
from keys.private import refuse_shared_folder
from keys.sealed_files import SealedFiles
from keys.states import KeyState

if TYPE_CHECKING:
    from keys.store import KeyStore
    from keys.unlocked_store import UnlockedStore


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong: with what, why, and what to do."""

    subject: str
    problem: str
    advice: str


def check_manifest(store: KeyStore) -> list[Finding]:
    """Signatures of ``store.json`` and the manifest, and that the two belong together.

    Nothing else can be checked without them.
    """
    try:
        store.records()
        store.require_agreement()
    except (IntegrityError, AccessError) as error:
        return [_finding("manifest", error)]
    return []


def check_audit(store: KeyStore) -> list[Finding]:
    """The audit log's chain, and whether the manifest confirms its last line."""
    aside = [_set_aside(path.name) for path in sorted(store.root.glob("audit-damaged-*"))]
    try:
        unconfirmed = store.unconfirmed_lines()
    except (IntegrityError, AccessError) as error:
        return [_finding("audit log", error), *aside]
    return [*([_unconfirmed(unconfirmed)] if unconfirmed else []), *aside]


def check_files(store: KeyStore) -> list[Finding]:
    """Every sealed file's presence, permissions and checksum; files without a record; leftovers."""
    try:
        refuse_shared_folder(store.root / "keysets")
    except AccessError as error:
        return [_finding("keysets", error)]
    files = SealedFiles(store.root / "keysets")
    known = {record.key_id: record.state for record in store.records()}
    kept = [key_id for key_id, state in known.items() if state is not KeyState.DESTROYED]
    return [
        *_failures(kept, files.describe),
        *(_unrecorded(key_id) for key_id in sorted(files.key_ids() - known.keys())),
        *(_not_erased(key_id) for key_id in sorted(files.key_ids() & (known.keys() - set(kept)))),
        *(_leftover(path.name) for path in (*files.leftovers(), *store.root.glob(".*.tmp"))),
    ]


def check_journals(store: KeyStore) -> list[Finding]:
    """Every journal of a rotation that is not over: one that is damaged stops all rotations."""
    return [_finding("rotations", error) for error in Journals(store).damaged()]


def check_keysets(store: UnlockedStore) -> list[Finding]:
    """Every sealed file whole: header's MAC, each chunk, and the key_id of what is inside."""
    kept = [r.key_id for r in store.records() if r.state is not KeyState.DESTROYED]

    def open_and_drop(key_id: str) -> None:
        with store.open(key_id):
            pass

    return list(_failures(kept, open_and_drop))


def _failures(key_ids: Iterable[str], check: Callable[[str], object]) -> Iterator[Finding]:
    for key_id in key_ids:
        try:
            check(key_id)
        except (SealError, AccessError) as error:
            yield _finding(f"key {key_id[:12]}", error)


def _finding(subject: str, error: BlindfitError) -> Finding:
    return Finding(subject, str(error), error.hint)


def _unconfirmed(count: int) -> Finding:
    return Finding(
        "audit log",
        f"its last {count} lines are not confirmed by the manifest: a command was stopped, or the "
        "manifest was put back to an earlier copy",
        "look at them before the next change of a key replaces them",
    )


def _set_aside(name: str) -> Finding:
    return Finding(
        name,
        "the audit log was damaged or cut, and this is what was left of it",
        "compare it with a backup, then move it away",
    )


def _unrecorded(key_id: str) -> Finding:
    return Finding(
        f"key {key_id[:12]}",
        "its file is not in the manifest: a command was stopped, or somebody put it there",
        "the next command that asks for the passphrase takes it in, if it opens; else remove it",
    )


def _not_erased(key_id: str) -> Finding:
    return Finding(
        f"key {key_id[:12]}",
        "it is DESTROYED, but its file is there",
        "the next command that asks for the passphrase erases it",
    )


def _leftover(name: str) -> Finding:
    return Finding(
        name,
        "a leftover of a command that was stopped, or of one that is running",
        "the next command that asks for the passphrase removes it",
    )


__all__ = [
    "Finding",
    "check_audit",
    "check_files",
    "check_journals",
    "check_keysets",
    "check_manifest",
]
