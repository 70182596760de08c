"""Opening the store of a home by what locks it: a passphrase, or the OS keyring."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from blindfit.errors import NotFoundError
from keys.os_keyring import KIND, KeyringEntry
from keys.stanzas import Opener, Passphrase
from keys.store import KeyStore

if TYPE_CHECKING:
    from keys.unlocked_store import UnlockedStore


def unlock_store(
    home: Path, passphrase: Callable[[], bytes], *, create: bool = False
) -> UnlockedStore:
    """The store of ``home``, opened; ``passphrase`` is asked only if that is what locks it.

    ``create`` makes the store if there is none. Raises `NotFoundError` without a store,
    `PassphraseError`, `AccessError`, `IntegrityError`.
    """
    store = KeyStore.of(home)
    if store.exists:
        return store.unlock(_opener(store, passphrase))
    if not create:
        raise NotFoundError(
            f"there are no keys in {home} yet", hint="run `blindfit-keys create --model MODEL`"
        )
    return store.initialize(Passphrase(passphrase()))


def loss_warning(store: KeyStore) -> str:
    """What would be lost with the store's lock: everything, unless somebody can recover it."""
    names = sorted(store.recipients())
    if names:
        return (
            f"If the passphrase is lost, the recovery key of {' or '.join(names)} opens the keys:\n"
            "run `blindfit-keys passphrase --recovery-key FILE`."
        )
    keyring = store.exists and store.lock_kind() == KIND
    lock = "the OS keyring's entry" if keyring else "the passphrase"
    return (
        f"Nobody can replace {lock}: if it is lost, ALL KEYS ARE LOST,\n"
        "and with them every prediction that was encrypted for them.\n"
        "To be safe from that, run `blindfit-keys recipients new FILE`, keep FILE elsewhere, and\n"
        "run `blindfit-keys recipients add NAME PUBLIC`."
    )


def _opener(store: KeyStore, passphrase: Callable[[], bytes]) -> Opener:
    stanza = store.lock_stanza()
    if stanza.get("kind") == KIND:
        return KeyringEntry.of(stanza)
    return Passphrase(passphrase())


__all__ = ["loss_warning", "unlock_store"]
