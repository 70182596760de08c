"""One keyset for several models: circuits with the same ``params_id`` can share it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from blindfit.errors import KeyMismatchError, KeyStateError, NotFoundError
from keys.journal import Kind
from keys.journals import Journals
from keys.store import KeyRecord, KeyStore
from keys.unlocked_store import UnlockedStore
from keys.without_key import suspended_key

if TYPE_CHECKING:
    from blindfit.bundle import Bundle


def share_key(
    store: UnlockedStore, bundle: Bundle, *, params_of: str | None = None
) -> KeyRecord | None:
    """An active key of the same parameters, as the primary of this model too.

    None without one, or where `create_key` has a stopped creation to go on with. ``params_of``
    names a model whose key it has to be. Raises `KeyStateError` if the model has a primary of
    these parameters already, `KeyMismatchError` if the other model's key does not fit.
    """
    if _was_begun(store, bundle):
        return None
    model, params_id = bundle.manifest.model, bundle.manifest.circuit.params_id
    primary = store.primary(model)
    if primary is not None and primary.params_id == params_id:
        raise KeyStateError(
            f"{model} has key {primary.key_id[:12]} already",
            hint=f"run `blindfit-keys rotate --model {model}` for a new one",
        )
    if params_of is not None:
        _require_fit(bundle, store.primary(params_of), params_of)
    shared = store.active(params_id)
    if shared is None:
        _require_none_suspended(store, model, params_id)
        return None
    return store.promote(model, shared.key_id)


def _was_begun(store: KeyStore, bundle: Bundle) -> bool:
    journal = Journals(store).of(bundle.manifest.circuit.params_id)
    return (
        journal is not None
        and journal.kind is Kind.CREATE
        and bundle.manifest.model in journal.models
    )


def _require_none_suspended(store: KeyStore, model: str, params_id: str) -> None:
    # The server has one active key of these parameters: a new one would retire the one set aside.
    aside = suspended_key(store, params_id)
    if aside is not None:
        key = aside.key_id[:12]
        raise KeyStateError(
            f"key {key} of the same parameters is SUSPENDED; a new one would replace it for good",
            hint=f"run `blindfit-keys suspend {key} --lift` to use it for {model}, or "
            f"`blindfit-keys revoke {key}` first",
        )


def _require_fit(bundle: Bundle, key: KeyRecord | None, params_of: str) -> None:
    model, params_id = bundle.manifest.model, bundle.manifest.circuit.params_id
    if key is None:
        raise NotFoundError(
            f"{params_of} has no key to share",
            hint=f"run `blindfit-keys create --model {params_of}` first",
        )
    if key.params_id != params_id:
        raise KeyMismatchError(
            f"{model} has parameters {params_id[:12]}, and the key of {params_of} was made for "
            f"{key.params_id[:12]}: it cannot be shared",
            hint=f"run `blindfit-keys create --model {model}` for a key of its own",
        )


__all__ = ["share_key"]
