"""The keys that a model version needs: opened, or made if the person agrees."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from blindfit.errors import KeyStateError
from client_app.key_care import current_key
from keys.store import KeyStore
from keys.unlocking import unlock_store

if TYPE_CHECKING:
    from blindfit.bundle import Bundle
    from blindfit.channel import ServerChannel
    from keys.unlocked_store import UnlockedStore

Report = Callable[[str], None]
Agree = Callable[[str], bool]


def never(missing: str) -> bool:
    """Do not create keys."""
    del missing
    return False


def unlock_for(
    home: Path,
    channel: ServerChannel,
    bundle: Bundle,
    passphrase: Callable[[], bytes],
    *,
    agree: Agree = never,
    report: Report = lambda step: None,
) -> UnlockedStore:
    """The opened store of ``home``, with a key for the bundle's model version.

    ``agree`` is told what is missing and says whether keys may be created; if not, that is raised
    as `KeyStateError` or `KeyMismatchError`. The passphrase is not asked for before.
    """
    try:
        current_key(KeyStore.of(home), bundle.manifest)
    except KeyStateError as missing:
        if not agree(str(missing)):
            raise
        store = unlock_store(home, passphrase, create=True)
        _create(store, channel, bundle, report)
        return store
    return unlock_store(home, passphrase)


def _create(store: UnlockedStore, channel: ServerChannel, bundle: Bundle, report: Report) -> None:
    from keys.means import Means
    from keys.rotation import create_key
    from keys.sharing import share_key

    if share_key(store, bundle) is None:
        create_key(Means(channel, store, bundle), report)
