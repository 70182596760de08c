"""Whether this store and the server agree on the client's keys, as a table."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Final

from keys.inventory import KeyRecord
from keys.states import KeyState
from keys.verification import Finding

if TYPE_CHECKING:
    from blindfit.wire_types import KeyStatus

_REVOKE: Final = "run `blindfit-keys revoke KEY_ID`, so that the server refuses it"
_ROTATE: Final = "run `blindfit-keys rotate --model MODEL` for a new key"
_RESUME: Final = "run `blindfit-keys rotate --resume`"
_ROLLED_BACK: Final = (
    "if nobody revoked it on the server, this store was put back to an earlier copy: restore "
    "the newest backup, or run `blindfit-keys rotate --model MODEL`"
)
_UPLOAD: Final = (
    "`blindfit-client predict` uploads it again, unless this store was put back to an earlier copy"
)
_LIVE: Final = frozenset({"STAGED", "ACTIVE", "RETIRING"})

# What is wrong by the state here and the state there (None: the server does not know the key).
_WRONG: Final[dict[tuple[KeyState, str | None], str]] = {
    (KeyState.ACTIVE, None): _UPLOAD,
    (KeyState.ACTIVE, "UPLOADING"): _RESUME,
    (KeyState.ACTIVE, "STAGED"): _RESUME,
    (KeyState.ACTIVE, "RETIRING"): _ROLLED_BACK,
    (KeyState.ACTIVE, "REVOKED"): _ROLLED_BACK,
    (KeyState.ACTIVE, "DELETED"): _ROLLED_BACK,
    (KeyState.SUSPENDED, "RETIRING"): _ROTATE,
    (KeyState.SUSPENDED, "REVOKED"): _ROTATE,
    (KeyState.SUSPENDED, "DELETED"): _ROTATE,
    (KeyState.PRE_ACTIVE, "ACTIVE"): _RESUME,
    (KeyState.DEACTIVATED, "STAGED"): _REVOKE,
    (KeyState.DEACTIVATED, "ACTIVE"): _REVOKE,
    (KeyState.COMPROMISED, "STAGED"): _REVOKE,
    (KeyState.COMPROMISED, "ACTIVE"): _REVOKE,
    (KeyState.COMPROMISED, "RETIRING"): _REVOKE,
    (KeyState.DESTROY_SCHEDULED, "STAGED"): _REVOKE,
    (KeyState.DESTROY_SCHEDULED, "ACTIVE"): _REVOKE,
    (KeyState.DESTROYED, "STAGED"): _REVOKE,
    (KeyState.DESTROYED, "ACTIVE"): _REVOKE,
    (KeyState.DESTROYED, "RETIRING"): _REVOKE,
}


def compare_with_server(
    records: Sequence[KeyRecord], held: Iterable[KeyStatus]
) -> Iterator[Finding]:
    """A finding for every key on which the store and the server do not agree."""
    states = {status.key_id: status.state for status in held}
    for record in records:
        state = states.get(record.key_id)
        advice = _WRONG.get((record.state, state))
        if advice is not None:
            yield _disagreement(record, state, advice)
    for key_id in states.keys() - {record.key_id for record in records}:
        if states[key_id] in _LIVE:
            yield _foreign(key_id, states[key_id])


def _disagreement(record: KeyRecord, state: str | None, advice: str) -> Finding:
    there = f"as {state}" if state else "not at all"
    model = record.models[0] if record.models else "MODEL"
    told = advice.replace("KEY_ID", record.key_id[:12]).replace("MODEL", model)
    problem = f"it is {record.state} here, and the server holds it {there}"
    return Finding(f"key {record.key_id[:12]}", problem, told)


def _foreign(key_id: str, state: str) -> Finding:
    return Finding(
        f"key {key_id[:12]}",
        f"the server holds it for this client as {state}, but it is not in this store",
        "if another machine of this client made it, all is well; if not, this store was put back "
        "to an earlier copy, or somebody else has this client's certificate: tell the operator",
    )


__all__ = ["compare_with_server"]
