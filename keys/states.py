"""The states of a keyset on the client, and which may follow which (NIST SP 800-57 part 1, §7).

Pure data and two pure functions: whoever stores a state does the input and output.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from blindfit.errors import KeyStateError


class KeyState(StrEnum):
    """What may be done with a keyset."""

    PRE_ACTIVE = "PRE_ACTIVE"  # sealed and maybe uploaded, not yet proven
    ACTIVE = "ACTIVE"  # encrypts and decrypts
    DEACTIVATED = "DEACTIVATED"  # decrypts only
    SUSPENDED = "SUSPENDED"  # set aside, may come back
    COMPROMISED = "COMPROMISED"  # somebody else may have it; decrypts only
    DESTROY_SCHEDULED = "DESTROY_SCHEDULED"  # will be destroyed; may still be taken back
    DESTROYED = "DESTROYED"  # a tombstone: the secret is gone


TRANSITIONS: Final[Mapping[KeyState, frozenset[KeyState]]] = MappingProxyType(
    {
        KeyState.PRE_ACTIVE: frozenset(
            {
                KeyState.ACTIVE,
                KeyState.DEACTIVATED,
                KeyState.COMPROMISED,
                KeyState.DESTROY_SCHEDULED,
                KeyState.DESTROYED,
            }
        ),
        KeyState.ACTIVE: frozenset(
            {KeyState.DEACTIVATED, KeyState.SUSPENDED, KeyState.COMPROMISED}
        ),
        KeyState.SUSPENDED: frozenset(
            {KeyState.ACTIVE, KeyState.DEACTIVATED, KeyState.COMPROMISED}
        ),
        KeyState.DEACTIVATED: frozenset(
            {KeyState.COMPROMISED, KeyState.DESTROY_SCHEDULED, KeyState.DESTROYED}
        ),
        KeyState.COMPROMISED: frozenset({KeyState.DESTROY_SCHEDULED, KeyState.DESTROYED}),
        KeyState.DESTROY_SCHEDULED: frozenset(
            {KeyState.DEACTIVATED, KeyState.COMPROMISED, KeyState.DESTROYED}
        ),
        KeyState.DESTROYED: frozenset(),
    }
)


def require_transition(key_id: str, current: KeyState, wanted: KeyState) -> None:
    """Raises `KeyStateError`, naming what is allowed, if ``wanted`` may not follow ``current``."""
    allowed = TRANSITIONS[current]
    if wanted in allowed:
        return
    raise KeyStateError(
        f"key {key_id[:12]} is {current} and cannot become {wanted}",
        hint=f"from {current} it can become: {', '.join(sorted(allowed)) or 'nothing any more'}",
        details={"key_id": key_id, "state": str(current)},
    )


def require_secret(key_id: str, state: KeyState) -> None:
    """Raises `KeyStateError` if a keyset in ``state`` no longer has its secret keys."""
    if state is KeyState.DESTROYED:
        raise KeyStateError(
            f"key {key_id[:12]} was destroyed; what it encrypted cannot be read any more",
            hint="restore it from a backup, or rotate to a new key",
            details={"key_id": key_id, "state": str(state)},
        )


__all__ = ["TRANSITIONS", "KeyState", "require_secret", "require_transition"]
