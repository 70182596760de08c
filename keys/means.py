"""What creating and rotating keys works with: a server, the opened store, a bundle, cryptography.

The last two are parameters, so that tests and other programs can bring their own.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from blindfit.errors import KeyNotUploadedError, KeyStateError
from keys.keyset import Keyset

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from blindfit.bundle import Bundle
    from blindfit.wire_types import KeyStatus, PredictReply
    from keys.cipher import Decrypted
    from keys.store import KeyStore
    from keys.unlocked_store import UnlockedStore

Report = Callable[[str], None]


class KeyServer(Protocol):
    """What a rotation needs of a server; `blindfit.channel.ServerChannel` is one."""

    def upload_key(
        self,
        key_id: str,
        params_id: str,
        salt: bytes,
        evaluation_keys: bytes,
        on_progress: Callable[[int], None] | None = None,
    ) -> KeyStatus:
        """Upload until STAGED; repeating it is harmless. ``on_progress`` is told the bytes."""

    def key_status(self, key_id: str) -> KeyStatus:
        """The state of a key; raises `KeyNotUploadedError`."""

    def list_keys(self) -> list[KeyStatus]:
        """All keys of this tenant."""

    def activate_key(
        self, key_id: str, replaces: str | None, grace: float | None = None
    ) -> KeyStatus:
        """Make a STAGED key the active one of its parameters if ``replaces`` is that now.

        ``replaces`` answers for ``grace`` more seconds; None takes what the server allows.
        """

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


def audit_bundle(bundle: Bundle) -> None:
    """Check the bundle's files and its 128-bit floor again; raises `BundleError` or
    `WeakParametersError`. Its signature was checked when it was opened.
    """
    from blindfit.bundle import CLIENT_ZIP, audit_client_zip, checked_file

    content = checked_file(bundle.folder, CLIENT_ZIP, bundle.manifest)
    audit_client_zip(content, bundle.manifest)


@dataclass(frozen=True)
class Means:
    """``bundle`` is what the new keys are made for, and proven with.

    ``grace_is_over`` lets nobody wait for sessions that use the old key.
    """

    server: KeyServer
    store: UnlockedStore
    bundle: Bundle
    generate: Callable[[Path], Keyset] = Keyset.generate
    cipher: Callable[[Path, Keyset], RowCipher] = open_cipher
    audit: Callable[[Bundle], None] = audit_bundle
    grace_is_over: bool = False

    @property
    def model(self) -> str:
        """The model that the bundle serves."""
        return self.bundle.manifest.model

    @property
    def params_id(self) -> str:
        """What a new keyset must fit."""
        return self.bundle.manifest.circuit.params_id


def server_state(server: KeyServer, key_id: str) -> str | None:
    """The state of a key on the server; None if it does not have it."""
    try:
        return server.key_status(key_id).state
    except KeyNotUploadedError:
        return None


def server_active(server: KeyServer, store: KeyStore, params_id: str) -> str | None:
    """The key of these parameters that is ACTIVE on the server; None if none is.

    Raises `KeyStateError` for one that this store does not have: it is somebody else's to replace.
    """
    for key in server.list_keys():
        if key.params_id == params_id and key.state == "ACTIVE":
            _require_ours(store, key.key_id)
            return key.key_id
    return None


def _require_ours(store: KeyStore, key_id: str) -> None:
    if all(record.key_id != key_id for record in store.records()):
        raise KeyStateError(
            f"another key of this tenant is active on the server: {key_id}",
            hint="if another machine uses it, rotate there; if it is lost, ask the operator "
            f"for `blindfit-server keys revoke TENANT {key_id[:12]}`",
            details={"key_id": key_id},
        )


__all__ = [
    "KeyServer",
    "Means",
    "Report",
    "RowCipher",
    "audit_bundle",
    "open_cipher",
    "server_active",
    "server_state",
]
