"""The steps of a rotation as a table, and what goes through it. Each may be repeated.

The order rules: a keyset is on disk, sealed and read back, before the server hears of it; it is
proven by a real encrypted round trip before it is activated; the server activates it, in exchange
for the old one, before it becomes primary here; the old one is revoked last. So whatever step a
crash stops, there is a key that works, and the journal tells the next process where to go on.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Final

from blindfit.errors import IntegrityError, KeyStateError
from blindfit.wire_types import REFUSED
from keys import rotation_handover as handover
from keys import rotation_new_key as new_key
from keys import rotation_proof as proof
from keys.journal import Journal, Kind
from keys.means import KeyServer
from keys.rotation_run import Run
from keys.states import KeyState
from keys.unlocked_store import UnlockedStore


@dataclass(frozen=True, slots=True)
class Step:
    """``name`` is what a journal says, ``description`` what a person reads while it runs."""

    name: str
    description: str
    act: Callable[[Run], None]


_VERIFY: Final = Step("verify", "verifying the bundle and the 128-bit floor", new_key.verify)
_UPLOAD: Final = Step("upload", "uploading the evaluation keys", proof.upload)
_ACTIVATE: Final = Step("activate", "activating on the server", handover.activate)
_NEW_KEY: Final = (
    _VERIFY,
    Step("generate", "generating keys", new_key.generate),
    Step("check", "checking that the keys are new", new_key.check_new),
    Step("seal", "sealing and reading back", new_key.seal),
    _UPLOAD,
    Step("stage", "checking that the server has them", proof.check_staged),
    Step("prove", "proving the key by an encrypted round trip", proof.prove),
    _ACTIVATE,
    Step("promote", "making it the primary", handover.promote),
)
_OLD_KEY: Final = (
    Step("drain", "waiting until nobody uses the old key", handover.drain),
    Step("revoke", "revoking the old key on the server", handover.revoke_old),
    Step("schedule", "scheduling the old key's destruction", handover.schedule_destruction),
)

STEPS: Final[Mapping[Kind, tuple[Step, ...]]] = MappingProxyType(
    {
        Kind.CREATE: _NEW_KEY,
        Kind.ROTATE: _NEW_KEY + _OLD_KEY,
        # The server refuses the compromised key before its journal begins: see `keys.compromise`.
        Kind.COMPROMISE: _NEW_KEY,
    }
)
# Of a key in these states (None: it was never stored) nobody needs what the server has.
_GIVEN_UP: Final = (None, KeyState.PRE_ACTIVE, KeyState.COMPROMISED, KeyState.DESTROYED)


def run_steps(run: Run) -> None:
    """Go through the steps that are not finished, and remove the journal."""
    try:
        for step in STEPS[run.journal.kind][_first(run) :]:
            run.report(step.description)
            step.act(run)
            run.note(step=step.name)
    finally:
        run.wipe()
    run.journals.remove(run.journal)


def next_steps(journal: Journal) -> tuple[str, ...]:
    """What is still to be done, for a person."""
    left = STEPS[journal.kind][_position(journal) :]
    return tuple(step.description for step in left) or ("removing the journal",)


def is_activated(journal: Journal) -> bool:
    """Whether the server has exchanged the keys: from then on there is no way back."""
    return _position(journal) > STEPS[journal.kind].index(_ACTIVATE)


def _position(journal: Journal) -> int:
    names = ["", *(step.name for step in STEPS[journal.kind])]
    if journal.step not in names:
        raise IntegrityError(
            f"rotation {journal.rotation_id} has a step that is not known: {journal.step!r}",
            hint="go on with it by the version of blindfit that began it",
        )
    return names.index(journal.step)


def _first(run: Run) -> int:
    """Where to begin: after the last finished step, or earlier if the world has moved on."""
    position = _position(run.journal)
    if position == 0 or is_activated(run.journal):
        return position
    if not _may_go_on(run):
        _begin_again(run)
        return 0
    # What the bundle says is not taken from a file that was checked another day.
    _VERIFY.act(run)
    if run.server_state(run.new_key_id) not in proof.USABLE:
        return min(position, STEPS[run.journal.kind].index(_UPLOAD))
    return position


def _may_go_on(run: Run) -> bool:
    """Whether the new key is there, and nobody has refused it while the rotation stood still."""
    key_id = run.journal.new_key_id
    if key_id is None or not run.is_stored(key_id):
        return False
    state = run.means.store.record(key_id).state
    return state is KeyState.PRE_ACTIVE and run.server_state(key_id) not in REFUSED


def _begin_again(run: Run) -> None:
    discard_new_key(run.means.server, run.means.store, run.journal)
    run.journal = replace(run.journal, new_key_id=None, step="")


def discard_new_key(server: KeyServer, store: UnlockedStore, journal: Journal) -> None:
    """Give up a new key that nobody has used: refused by the server first, then destroyed here.

    Raises `KeyStateError` for a key that has been used: the journal is of a rotation that is over.
    """
    key_id = journal.new_key_id
    if key_id is None:
        return
    state = next((r.state for r in store.records() if r.key_id == key_id), None)
    if state not in _GIVEN_UP:
        raise _over(store, journal)
    handover.revoke_on_server(server, key_id)
    if state is KeyState.PRE_ACTIVE:
        store.destroy(key_id)


def _over(store: UnlockedStore, journal: Journal) -> KeyStateError:
    # A signed journal that somebody kept and put back would have the server refuse a key in use.
    path = store.root / "rotations" / f"{journal.rotation_id}.json"
    return KeyStateError(
        f"rotation {journal.rotation_id} is over: its new key has been used",
        hint=f"somebody or something put its journal back: remove {path}",
        details={"key_id": str(journal.new_key_id)},
    )


__all__ = ["STEPS", "Step", "discard_new_key", "is_activated", "next_steps", "run_steps"]
