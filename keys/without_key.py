"""What to do for a model that has no key to encrypt with: create one only if none was set aside."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from keys.states import KeyState

if TYPE_CHECKING:
    from keys.inventory import KeyRecord
    from keys.store import KeyStore

_ADVICE: Final = {
    KeyState.SUSPENDED: "run `blindfit-keys suspend {key} --lift` to use it again, or "
    "`blindfit-keys revoke {key}` to give it up",
    KeyState.COMPROMISED: "run `blindfit-keys compromised {key}`, which makes a new one",
}


class Advice(NamedTuple):
    """What is the matter, and what to do next."""

    what: str
    hint: str


def advise(store: KeyStore, model: str) -> Advice:
    """Why ``model`` has no primary, and what makes one."""
    aside = _set_aside(store, model)
    if aside is None:
        return Advice(
            f"there are no keys for {model}", f"run `blindfit-keys create --model {model}`"
        )
    key = aside.key_id[:12]
    return Advice(f"key {key} of {model} is {aside.state}", _ADVICE[aside.state].format(key=key))


def suspended_key(store: KeyStore, params_id: str) -> KeyRecord | None:
    """The key of these parameters that was set aside, if there is one."""
    for record in store.records():
        if record.params_id == params_id and record.state is KeyState.SUSPENDED:
            return record
    return None


def _set_aside(store: KeyStore, model: str) -> KeyRecord | None:
    """The model's newest key, if it is one that nobody replaced."""
    own = [
        record
        for record in store.records()
        if model in record.models and record.state is not KeyState.DESTROYED
    ]
    return own[-1] if own and own[-1].state in _ADVICE else None


__all__ = ["Advice", "advise", "suspended_key"]
