"""The key of a session: which one it is now, and what to do when the server refuses it.

A refused key comes with an action (`blindfit.errors`). What is safe is done here: to take a newer
key of this home's store, to upload and activate again the very key that is the active one here,
unless the server has another, and to use this home's newer certificate. Anything else needs a
person, and the error says what.
"""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Final, NoReturn

from blindfit.errors import BlindfitError, KeyMismatchError, KeyStateError, PassphraseError
from keys.in_use import using
from keys.without_key import advise

if TYPE_CHECKING:
    from blindfit.manifest import Manifest
    from client_app.connection import Connection
    from keys.inventory import KeyRecord
    from keys.keyset import Keyset
    from keys.store import KeyStore
    from keys.unlocked_store import UnlockedStore

_ADVICE: Final = {
    "upload": "run `blindfit-keys rotate --model {model}` for a new one",
    "activate": "finish the rotation that was begun: `blindfit-keys rotate --resume`",
    "rotate": "run `blindfit-keys rotate --model {model}` for a new one",
    "create": "run `blindfit-keys create --model {model}`",
    "enroll": "ask the operator for an invitation, then run `blindfit-client enroll FILE`",
}
Stamp = tuple[int, int, int]


def current_key(store: KeyStore, manifest: Manifest) -> KeyRecord:
    """The key that encrypts for a model version now.

    Raises `KeyStateError` if its model has no keys, `KeyMismatchError` if those are for other
    crypto parameters.
    """
    model, params_id = manifest.model, manifest.circuit.params_id
    primary = store.primary(model)
    if primary is None:
        advice = advise(store, model)
        raise KeyStateError(advice.what, hint=advice.hint)
    # Another version of the model may have been given keys for its own parameters.
    fitting = primary if primary.params_id == params_id else store.active(params_id)
    if fitting is None:
        raise KeyMismatchError(
            f"version {manifest.version} of {model} needs other keys than there are",
            hint=_ADVICE["create"].format(model=model),
        )
    return fitting


class KeyCare:
    """Follows the key of one model version through rotations; use it as the pipeline's key.

    The key in use is held (`keys.in_use`), from `newer` until another one or `release`.
    """

    def __init__(self, store: UnlockedStore, connection: Connection, manifest: Manifest):
        self._store = store
        self._connection = connection
        self._manifest = manifest
        self._known: tuple[Stamp, KeyRecord] | None = None
        self._held = ""
        self._hold = ExitStack()

    def open(self) -> Keyset:
        """The keyset to begin with; it is not held yet."""
        return self._open(self._current().key_id)

    def outdated(self, key_id: str) -> bool:
        """Whether another key than this is the current one; costs a `stat` while nothing changes.

        Raises `KeyStateError` when there is none any more.
        """
        return self._current().key_id != key_id

    def newer(self, key_id: str) -> Keyset | None:
        """Hold the current key; its keyset, if it is another than ``key_id``."""
        # It may have been replaced, found unused and revoked before it was held: look again.
        while (current := self._current().key_id) != self._held:
            self.release()
            self._hold.enter_context(using(self._store.root, current))
            self._held = current
        return None if current == key_id else self._open(current)

    def release(self) -> None:
        """Let go of the key: no result is due for it any more."""
        self._hold.close()
        self._held = ""

    def mend(self, key_id: str, error: BlindfitError) -> None:
        """Make another attempt worthwhile after the server refused ``key_id`` with ``error``.

        Raises ``error``, with what a person can do about it, where that is not safe.
        """
        if self._current().key_id != key_id:
            return  # the next attempt takes the newer key
        if error.action == "enroll" and self._connection.renew():
            return
        if error.action not in ("upload", "activate"):
            self._refuse(error)
        self._require_no_other(key_id)
        if self._register(key_id) != "ACTIVE":
            self._refuse(error)

    def _register(self, key_id: str) -> str:
        """The key's state on the server when it was uploaded and, if need be, activated."""
        channel = self._connection.channel
        with self._open(key_id) as keyset:
            status = channel.upload_key(
                key_id, keyset.params_id, keyset.salt, keyset.evaluation_keys
            )
        if status.state == "STAGED":
            status = channel.activate_key(key_id, None)
        return status.state

    def _require_no_other(self, key_id: str) -> None:
        """The key that the server uses now may be newer than this: made in another home."""
        params_id = self._manifest.circuit.params_id
        active = [
            status.key_id
            for status in self._connection.channel.list_keys()
            if status.state == "ACTIVE" and status.params_id == params_id
        ]
        if active and active != [key_id]:
            raise KeyStateError(
                f"the server has another active key than {key_id[:12]}: {active[0][:12]}",
                hint="it was made in another home: use that one, restore its backup here, or have "
                "the operator revoke it (`blindfit-server keys revoke`)",
                details={"key_id": key_id, "active": active[0]},
            )

    def _refuse(self, error: BlindfitError) -> NoReturn:
        advice = _ADVICE.get(error.action)
        if advice:
            error.hint = advice.format(model=self._manifest.model)
        raise error

    def _open(self, key_id: str) -> Keyset:
        try:
            return self._store.open(key_id)
        except PassphraseError as error:
            raise KeyStateError(
                "the passphrase of the key store was changed while this session was open",
                hint="open it again, with the new passphrase",
            ) from error

    def _current(self) -> KeyRecord:
        # The stamp before the content: a change in between is seen the next time.
        stamp = _stamp(self._store.root / "manifest.json")
        if self._known is None or self._known[0] != stamp:
            self._known = (stamp, current_key(self._store, self._manifest))
        return self._known[1]


def _stamp(path: Path) -> Stamp:
    """What changes when the file is replaced."""
    status = path.stat()
    return status.st_ino, status.st_mtime_ns, status.st_size
