"""The last steps of a rotation: from the old key to the new one, without a failed prediction.

The server exchanges the keys before the new one becomes primary here, and the old one is refused
only when the sessions of this home have moved on (or their grace is over).
"""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime, timedelta

from blindfit.errors import KeyNotUploadedError, KeyStateError
from keys.destruction import DEFAULT_DELAY, after
from keys.in_use import wait_until_unused
from keys.journal import now_text
from keys.means import KeyServer, server_active
from keys.rotation_run import Run
from keys.states import KeyState


def activate(run: Run) -> None:
    """The server exchanges the keys in one step, and only if nobody else did meanwhile."""
    means, new = run.means, run.new_key_id
    active = server_active(means.server, means.store, run.journal.params_id)
    if active != new:
        means.server.activate_key(new, active, grace=float(run.journal.grace))


def promote(run: Run) -> None:
    """What is encrypted from now on is encrypted for the new key; the old one only decrypts.

    Raises `KeyStateError` if the new key was suspended meanwhile: only a person lifts that.
    """
    _require_not_suspended(run)
    for model in run.journal.models:
        run.means.store.promote(model, run.new_key_id)


def _require_not_suspended(run: Run) -> None:
    key_id = run.new_key_id
    if run.means.store.record(key_id).state is KeyState.SUSPENDED:
        raise KeyStateError(
            f"key {key_id[:12]} was suspended while its rotation stood still",
            hint=f"run `blindfit-keys suspend {key_id[:12]} --lift` if it may be used",
            details={"key_id": key_id},
        )


def drain(run: Run) -> None:
    """Wait for the sessions of this home that still have results due for the old key."""
    old = run.journal.old_key_id
    if old is None or run.means.grace_is_over:
        return
    if run.journal.drain_until is None:
        run.note(drain_until=now_text(timedelta(seconds=run.journal.grace)))
    unused = wait_until_unused(
        run.means.store.root,
        old,
        timeout=_seconds_until(run.journal.drain_until),
        report=lambda seconds: run.report(_waiting(run, seconds)),
    )
    if not unused:
        run.report(f"key {old[:12]} is still in use; its grace is over")


def revoke_old(run: Run) -> None:
    """The server refuses the old key for good."""
    if run.journal.old_key_id is not None:
        revoke_on_server(run.means.server, run.journal.old_key_id)


def schedule_destruction(run: Run) -> None:
    """The old secret is kept for results that were stored encrypted; then it goes."""
    old, store = run.journal.old_key_id, run.means.store
    if old is not None and store.record(old).state is KeyState.DEACTIVATED:
        store.schedule_destruction(old, after(DEFAULT_DELAY))


def revoke_on_server(server: KeyServer, key_id: str) -> None:
    """Have the server refuse a key; one that it does not have needs no refusing."""
    with suppress(KeyNotUploadedError):
        server.revoke_key(key_id)


def _seconds_until(text: str | None) -> float:
    if text is None:
        return 0.0
    return max(0.0, (datetime.fromisoformat(text) - datetime.now(UTC)).total_seconds())


def _waiting(run: Run, seconds: int) -> str:
    old = (run.journal.old_key_id or "")[:12]
    return (
        f"waiting for sessions that use key {old}, at most {timedelta(seconds=seconds)} more; "
        f"Ctrl-C is safe, `blindfit-keys rotate --resume {run.journal.rotation_id}` goes on"
    )


__all__ = [
    "activate",
    "drain",
    "promote",
    "revoke_old",
    "revoke_on_server",
    "schedule_destruction",
]
