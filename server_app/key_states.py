"""The states of an evaluation key on the server, as a pure machine: the transitions are data.

A key goes one way, from UPLOADING to DELETED. DELETED is a tombstone: its id is never accepted
again, so a revoked key cannot come back by being uploaded anew.
"""

from __future__ import annotations

from blindfit.errors import KeyStateError
from blindfit.wire_types import REFUSED, KeyState

TRANSITIONS: dict[KeyState, frozenset[KeyState]] = {
    "UPLOADING": frozenset({"STAGED", "REVOKED"}),
    "STAGED": frozenset({"ACTIVE", "REVOKED"}),
    "ACTIVE": frozenset({"RETIRING", "REVOKED"}),
    "RETIRING": frozenset({"REVOKED"}),
    "REVOKED": frozenset({"DELETED"}),
    "DELETED": frozenset(),
}


def check_transition(key_id: str, old: KeyState, new: KeyState) -> None:
    """Raise `KeyStateError` that says what is allowed, unless ``old`` may become ``new``."""
    allowed = TRANSITIONS[old]
    if new not in allowed:
        names = ", ".join(sorted(allowed)) or "nothing"
        raise KeyStateError(
            f"key {key_id[:16]} is {old} and cannot become {new}; allowed: {names}",
            details={"key_id": key_id, "state": old},
        )


__all__ = ["REFUSED", "TRANSITIONS", "check_transition"]
