"""Creating and rotating keys; what the steps are is in `keys.rotation_steps`.

Of keys of the same parameters only one rotation goes on at a time, in one process. Each is in a
journal from its beginning to its end, so whoever comes next goes on with it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Final

from blindfit.errors import KeyStateError, NotFoundError
from keys.journal import Journal, Kind, new_journal
from keys.journals import Journals
from keys.means import KeyServer, Means, Report, server_state
from keys.rotation_handover import revoke_on_server
from keys.rotation_run import Run
from keys.rotation_steps import discard_new_key, is_activated, run_steps
from keys.states import KeyState
from keys.store import KeyRecord, KeyStore
from keys.unlocked_store import UnlockedStore
from keys.without_key import advise

GRACE: Final = timedelta(hours=1)


@dataclass(frozen=True)
class Rotated:
    """The new primary, and the key that it replaced, if there was one of the same parameters."""

    new: KeyRecord
    old: KeyRecord | None


def create_key(means: Means, report: Report = lambda _: None) -> KeyRecord:
    """A new keyset as the model's primary, where none can be shared; resumes a stopped one."""
    return _change_keys(means, report, lambda: _creation(means)).new


def rotate(means: Means, report: Report = lambda _: None, *, grace: timedelta = GRACE) -> Rotated:
    """Replace a model's primary by a new keyset without a prediction that fails.

    Sessions of this home that use the old key have ``grace`` to get their results; here it goes on
    decrypting. Resumes a rotation of these parameters that was stopped. Raises `NotFoundError` if
    the model has no key yet, `KeyStateError` if another process is rotating.
    """
    if means.store.primary(means.model) is None:
        advice = advise(means.store, means.model)
        raise NotFoundError(advice.what, hint=advice.hint)
    return _change_keys(
        means,
        report,
        lambda: _exchange(means, grace),
        # Of a creation that was stopped at its very end, the key is as old as it is.
        enough=lambda journal: journal.kind is Kind.ROTATE,
    )


def resume(means: Means, journal: Journal, report: Report = lambda _: None) -> Rotated:
    """Go on with a rotation that was stopped; ``means.bundle`` is the journal's.

    Raises `KeyStateError` if another process is at it, `NotFoundError` if it is over.
    """
    journals = Journals(means.store)
    with journals.only_one(journal.params_id):
        return _finish(Run(means, journals, journals.find(journal.rotation_id), report))


def abort(server: KeyServer, store: UnlockedStore, journal: Journal) -> Journal:
    """Give up a rotation: its new key is refused by the server and destroyed here.

    Raises `KeyStateError` when the server has activated the new key: then it can only go on.
    """
    journals = Journals(store)
    with journals.only_one(journal.params_id):
        journal = journals.find(journal.rotation_id)
        new = journal.new_key_id
        if is_activated(journal) or (new and server_state(server, new) == "ACTIVE"):
            raise KeyStateError(
                f"rotation {journal.rotation_id} has activated its new key already",
                hint=f"run `blindfit-keys rotate --resume {journal.rotation_id}`",
            )
        discard_new_key(server, store, journal)
        journals.remove(journal)
    return journal


def revoke(server: KeyServer, store: UnlockedStore, key_id: str) -> KeyRecord:
    """Have the server refuse a key, then let it only decrypt here; again is harmless."""
    record = store.record(key_id)
    revoke_on_server(server, record.key_id)
    if record.state in {KeyState.PRE_ACTIVE, KeyState.ACTIVE, KeyState.SUSPENDED}:
        return store.transition(record.key_id, KeyState.DEACTIVATED)
    return record


def is_due(record: KeyRecord, older_than: timedelta) -> bool:
    """Whether a key was created longer ago than that."""
    return datetime.now(UTC) - datetime.fromisoformat(record.created) > older_than


def replace_compromised(means: Means, journal: Journal, report: Report) -> KeyRecord:
    """Go through ``journal``, whose old key is the compromised one, or finish a stopped rotation.

    One that has activated the very key that is compromised is ended and followed by another.
    Nobody waits for sessions.
    """
    compromised = journal.old_key_id
    return _change_keys(
        replace(means, grace_is_over=True),
        report,
        lambda: journal,
        enough=lambda finished: finished.new_key_id != compromised,
    ).new


def _change_keys(
    means: Means,
    report: Report,
    begin: Callable[[], Journal],
    enough: Callable[[Journal], bool] = lambda _: True,
) -> Rotated:
    """Finish what was stopped, then begin, unless a finished journal was ``enough``."""
    journals = Journals(means.store)
    with journals.only_one(means.params_id):
        journal = journals.of(means.params_id)
        if journal is not None:
            report(f"going on with rotation {journal.rotation_id}")
            is_fresh = not is_activated(journal)
            rotated = _finish(Run(means, journals, journal, report))
            if is_fresh or enough(journal):
                return rotated
        journal = begin()
        journals.save(means.store, journal)
        return _finish(Run(means, journals, journal, report))


def _finish(run: Run) -> Rotated:
    run_steps(run)
    store, old = run.means.store, run.journal.old_key_id
    return Rotated(new=store.record(run.new_key_id), old=store.record(old) if old else None)


def _creation(means: Means) -> Journal:
    return new_journal(Kind.CREATE, (means.model,), means.params_id, None, timedelta(0))


def _exchange(means: Means, grace: timedelta) -> Journal:
    """The key to replace is that of these parameters: one of others serves other versions."""
    old = means.store.active(means.params_id)
    models = models_of(means.store, old.key_id) if old else ()
    others = tuple(model for model in models if model != means.model)
    return new_journal(
        Kind.ROTATE,
        (means.model, *others),
        means.params_id,
        old.key_id if old else None,
        grace,
    )


def models_of(store: KeyStore, key_id: str) -> tuple[str, ...]:
    """The models that encrypt with a key now."""
    return tuple(model for model, primary in store.primaries().items() if primary == key_id)


__all__ = [
    "GRACE",
    "Rotated",
    "abort",
    "create_key",
    "is_due",
    "models_of",
    "replace_compromised",
    "resume",
    "revoke",
    "rotate",
]
