"""When keys are destroyed: after a time in which it can be taken back, or at once."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

from blindfit.errors import InputError, KeyStateError
from keys.states import KeyState, require_transition

if TYPE_CHECKING:
    from keys.inventory import KeyRecord

DEFAULT_DELAY: Final = timedelta(days=30)


def format_moment(moment: datetime) -> str:
    """A time (with a time zone) as the store keeps it: UTC to the second, so that text sorts."""
    if moment.tzinfo is None:
        raise InputError("the time of a destruction needs a time zone")
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def after(delay: timedelta) -> datetime:
    """The time ``delay`` from now; raises `InputError` if there is no such date."""
    try:
        return datetime.now(UTC) + delay
    except OverflowError as error:
        raise InputError(f"{delay} from now is no date") from error


def require_destroyable(record: KeyRecord) -> None:
    """Raises `KeyStateError`, with what to do before, if the key must not be destroyed."""
    _require_unused(record)
    require_transition(record.key_id, record.state, KeyState.DESTROYED)


def require_schedulable(record: KeyRecord) -> None:
    """As `require_destroyable`, for a destruction later on; it may be scheduled anew."""
    _require_unused(record)
    if record.state is not KeyState.DESTROY_SCHEDULED:
        require_transition(record.key_id, record.state, KeyState.DESTROY_SCHEDULED)


_RETIRE = {
    KeyState.ACTIVE: "rotate it, or run",
    KeyState.SUSPENDED: "lift it (`blindfit-keys suspend KEY_ID --lift`) and rotate it, or run",
}


def _require_unused(record: KeyRecord) -> None:
    if record.state in _RETIRE:
        raise KeyStateError(
            f"key {record.key_id[:12]} is {record.state}: it must not be destroyed",
            hint=f"{_RETIRE[record.state]} `blindfit-keys revoke {record.key_id[:12]}` before",
        )


__all__ = [
    "DEFAULT_DELAY",
    "after",
    "format_moment",
    "require_destroyable",
    "require_schedulable",
]
