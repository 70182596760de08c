"""Creating and rotating keys: a table of small steps, each of which may be repeated.

The order rules: a keyset is on disk, sealed and read back, before the server hears of it; it is
proven by a real encrypted round trip before it is activated; the server activates it, in exchange
for the old one, before it becomes primary here. So whatever step a crash stops, the old key still
works, and the next `rotate` goes on from what it finds: a PRE_ACTIVE keyset in the store and its
state on the server.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol

from blindfit.errors import (
    KeyMismatchError,
    KeyNotUploadedError,
    KeyRevokedError,
    KeyStateError,
    NotFoundError,
    ResponseMismatchError,
    SealError,
)
from keys.keyset import Keyset
from keys.states import KeyState
from keys.store import KeyRecord, KeyStore

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from blindfit.bundle import Bundle
    from blindfit.wire_types import KeyStatus, PredictReply
    from keys.cipher import Decrypted

Report = Callable[[str], None]


class KeyServer(Protocol):
    """What a rotation needs of a server; `blindfit.channel.ServerChannel` is one."""

    def upload_key(
        self, key_id: str, params_id: str, salt: bytes, evaluation_keys: bytes
    ) -> KeyStatus:
        """Upload until STAGED; repeating it is harmless."""

    def key_status(self, key_id: str) -> KeyStatus:
        """The state of a key; raises `KeyNotUploadedError`."""

    def activate_key(self, key_id: str, replaces: str | None) -> KeyStatus:
        """Make a STAGED key the active one of its parameters if ``replaces`` is that now."""

    def revoke_key(self, key_id: str) -> KeyStatus:
        """Refuse a key from now on; raises `KeyNotUploadedError`."""

    def predict(
        self, model: str, version: int, key_id: str, ciphertext: bytes, *, prove: bool = False
    ) -> PredictReply:
        """Run the circuit; ``prove`` allows a STAGED key."""


class RowCipher(Protocol):
    """Encrypts and decrypts with one keyset until it is closed; `CipherPool` is one."""

    def encrypt(self, row: NDArray[np.float64]) -> Future[bytes]:
        """The ciphertext of an encoded row, float64 (width,)."""

    def decrypt(self, ciphertext: bytes) -> Future[Decrypted]:
        """The result in a ciphertext."""

    def close(self) -> None:
        """Let go of the keyset."""


def open_cipher(bundle_folder: Path, keyset: Keyset) -> RowCipher:
    """A cipher in a process of its own: what it decrypts comes from a peer."""
    from keys.cipher_pool import CipherPool

    return CipherPool(bundle_folder, keyset, processes=1)


@dataclass(frozen=True)
class Means:
    """What a rotation works with. ``bundle`` is audited; the last two do the cryptography."""

    server: KeyServer
    store: KeyStore
    bundle: Bundle
    passphrase: bytes
    generate: Callable[[Path], Keyset] = Keyset.generate
    cipher: Callable[[Path, Keyset], RowCipher] = open_cipher

    @property
    def model(self) -> str:
        """The model that gets a new primary."""
        return self.bundle.manifest.model

    @property
    def params_id(self) -> str:
        """What the new keyset must fit."""
        return self.bundle.manifest.circuit.params_id


@dataclass(frozen=True)
class Rotated:
    """The new primary, and the key that it replaced."""

    new: KeyRecord
    old: KeyRecord


def share_key(store: KeyStore, bundle: Bundle) -> KeyRecord | None:
    """An active key of the same parameters, as the primary of this model too; None without one.

    Raises `KeyStateError` if the model has a primary of these parameters already.
    """
    model, params_id = bundle.manifest.model, bundle.manifest.circuit.params_id
    primary = store.primary(model)
    if primary is not None and primary.params_id == params_id:
        raise KeyStateError(
            f"{model} has key {primary.key_id[:12]} already",
            hint=f"run `blindfit-keys rotate --model {model}` for a new one",
        )
    shared = store.active(params_id)
    return shared and store.promote(model, shared.key_id)


def create_key(means: Means, report: Report = lambda _: None) -> KeyRecord:
    """A new keyset as the model's primary, after `share_key` found none; resumes a stopped one."""
    return _run_steps(means, None, report)


def rotate(means: Means, report: Report = lambda _: None) -> Rotated:
    """Replace a model's primary by a new keyset without a prediction that fails.

    The server answers for the old key until its grace time ends; here it becomes DEACTIVATED and
    goes on decrypting. Resumes a rotation that was stopped. Raises `NotFoundError` if the model
    has no key yet.
    """
    old = means.store.primary(means.model)
    if old is None:
        raise NotFoundError(
            f"{means.model} has no key yet",
            hint=f"run `blindfit-keys create --model {means.model}`",
        )
    # Opened before anything else: a wrong passphrase must not cost the generation of keys.
    old_keyset = means.store.open(old.key_id, means.passphrase)
    new = _run_steps(means, old_keyset, report)
    return Rotated(new=new, old=means.store.record(old.key_id))


def revoke(server: KeyServer, store: KeyStore, key_id: str) -> KeyRecord:
    """Have the server refuse a key, then let it only decrypt here; again is harmless."""
    record = store.record(key_id)
    with suppress(KeyNotUploadedError):  # then there is nothing to refuse
        server.revoke_key(record.key_id)
    if record.state in {KeyState.PRE_ACTIVE, KeyState.ACTIVE, KeyState.SUSPENDED}:
        return store.transition(record.key_id, KeyState.DEACTIVATED)
    return record


# -- the steps -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Progress:
    """What one step hands to the next."""

    means: Means
    old: Keyset | None
    keyset: Keyset


Step = Callable[[_Progress], None]


def _run_steps(means: Means, old: Keyset | None, report: Report) -> KeyRecord:
    keyset = _pending(means)
    if keyset is None:
        report("generating keys")
        keyset = means.generate(means.bundle.folder)
    else:
        report(f"going on with key {keyset.key_id[:12]}")
    progress = _Progress(means, old, keyset)
    for description, step in STEPS:
        report(description)
        step(progress)
    return means.store.record(keyset.key_id)


def _pending(means: Means) -> Keyset | None:
    """The keyset that a stopped run left for this model, unless the server has refused it."""
    for record in reversed(means.store.records()):
        if (
            record.state is KeyState.PRE_ACTIVE
            and record.params_id == means.params_id
            and (means.model in record.models or not record.models)
            and _server_state(means.server, record.key_id) not in {"REVOKED", "DELETED"}
        ):
            return means.store.open(record.key_id, means.passphrase)
    return None


def _check_new(progress: _Progress) -> None:
    """Concrete can return the same keys again: a rotation that changes nothing must not pass."""
    means, keyset = progress.means, progress.keyset
    if keyset.params_id != means.params_id:
        raise KeyMismatchError("the generated keys do not have the model's parameters")
    if progress.old is not None and keyset.same_secret(progress.old):
        raise KeyStateError(
            "the generated keys are the old ones; nothing was changed",
            hint="report this: the key generator returned the same keys twice",
        )


def _seal(progress: _Progress) -> None:
    """On disk and readable with this passphrase before anybody depends on it."""
    means, keyset = progress.means, progress.keyset
    if keyset.key_id not in {record.key_id for record in means.store.records()}:
        means.store.create(keyset, means.passphrase, model=means.model)
    if not means.store.open(keyset.key_id, means.passphrase).same_secret(keyset):
        raise SealError("the sealed keyset does not read back as it was written")


def _upload(progress: _Progress) -> None:
    keyset = progress.keyset
    if _server_state(progress.means.server, keyset.key_id) in {"STAGED", "ACTIVE"}:
        return
    status = progress.means.server.upload_key(
        keyset.key_id, keyset.params_id, keyset.salt, keyset.evaluation_keys
    )
    if status.state not in {"STAGED", "ACTIVE"}:
        raise KeyRevokedError(
            f"the server keeps key {keyset.key_id[:12]} as {status.state}",
            hint=f"run `blindfit-keys destroy {keyset.key_id[:12]}`, then try again",
        )


def _prove(progress: _Progress) -> None:
    """Two public rows, really encrypted, computed and decrypted, must give the known numbers."""
    import numpy as np

    means = progress.means
    manifest = means.bundle.manifest
    probes = (
        ("lower", np.zeros(manifest.circuit.inputs), manifest.probes.lower),
        ("upper", np.ones(manifest.circuit.inputs), manifest.probes.upper),
    )
    with closing(means.cipher(means.bundle.folder, progress.keyset)) as cipher:
        for bound, row, expected in probes:
            if _round_trip(progress, cipher, row) != list(expected):
                raise ResponseMismatchError(
                    f"the proof with the row of {bound} bounds gave another result than it must",
                    hint="the key was not activated; tell the operator of the server",
                )


def _round_trip(progress: _Progress, cipher: RowCipher, row: NDArray[np.float64]) -> list[int]:
    manifest = progress.means.bundle.manifest
    reply = progress.means.server.predict(
        manifest.model,
        manifest.version,
        progress.keyset.key_id,
        cipher.encrypt(row).result(),
        prove=True,
    )
    return [int(value) for value in cipher.decrypt(reply.ciphertext).result().quantized]


def _activate(progress: _Progress) -> None:
    """The server exchanges the keys in one step, and only if nobody else did meanwhile."""
    means, key_id = progress.means, progress.keyset.key_id
    if _server_state(means.server, key_id) == "ACTIVE":
        return
    active = means.store.active(means.params_id)
    # The server may have lost or revoked the old key: then there is nothing to replace.
    known = active is not None and _server_state(means.server, active.key_id) == "ACTIVE"
    means.server.activate_key(key_id, active.key_id if active and known else None)


def _promote(progress: _Progress) -> None:
    progress.means.store.promote(progress.means.model, progress.keyset.key_id)


STEPS: Final[Sequence[tuple[str, Step]]] = (
    ("checking that the keys are new", _check_new),
    ("sealing and reading back", _seal),
    ("uploading the evaluation keys", _upload),
    ("proving the key by an encrypted round trip", _prove),
    ("activating on the server", _activate),
    ("making it the primary", _promote),
)


def _server_state(server: KeyServer, key_id: str) -> str | None:
    try:
        return server.key_status(key_id).state
    except KeyNotUploadedError:
        return None


__all__ = [
    "STEPS",
    "KeyServer",
    "Means",
    "Report",
    "Rotated",
    "RowCipher",
    "create_key",
    "open_cipher",
    "revoke",
    "rotate",
    "share_key",
]
