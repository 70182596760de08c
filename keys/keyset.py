"""The handle of a keyset: it names the keys and does not show them.

It cannot be made, pickled or printed by accident; the idea is Tink's ``KeysetHandle``.
"""

from __future__ import annotations

import hmac
import os
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Self

from blindfit.errors import KeyStateError, SealError
from blindfit.key_id import SALT_BYTES, compute_key_id
from keys.access import SECRET_ACCESS, SecretAccess, require_access
from keys.description import KeysetDescription
from keys.generation import client_digest, generate_keys, read_manifest
from keys.secret_message import new_message, read_description, secret_part
from keys.wiping import Unshared, wipe


class Keyset(Unshared):
    """One generation of FHE keys of one client for one ``params_id``.

    ``evaluation_keys`` may leave the machine. The secret bytes are had by `secret_bytes` with the
    access token, and are overwritten by `wipe` or at the end of a ``with`` block.

    Made by `generate`, `from_raw`, `from_parent` or `keys.seal.unseal`. ``message`` is one of
    `keys.secret_message`; it is taken over, not copied. ``evaluation_keys`` is None in a child.
    """

    __slots__ = ("_description", "_evaluation_keys", "_secret")

    def __init__(
        self,
        access: SecretAccess,
        message: bytes | bytearray | memoryview,
        evaluation_keys: bytes | None,
    ):
        require_access(access)
        self._description = read_description(message)
        if evaluation_keys is not None:
            _require_match(self._description, evaluation_keys)
        self._secret: bytes | bytearray | memoryview | None = message
        self._evaluation_keys = evaluation_keys

    @classmethod
    def generate(cls, bundle_folder: Path) -> Self:
        """New keys for the circuit of an audited bundle folder; nothing is written.

        Takes the import of Concrete (about 10 s) and the generation: milliseconds for linear
        models, seconds for trees.
        """
        raw = generate_keys(bundle_folder)
        return cls.from_raw(
            SECRET_ACCESS,
            secret=raw.secret,
            evaluation_keys=raw.evaluation,
            params_id=read_manifest(bundle_folder).circuit.params_id,
            model_digest=client_digest(bundle_folder),
        )

    @classmethod
    def from_raw(
        cls,
        access: SecretAccess,
        *,
        secret: bytes | bytearray,
        evaluation_keys: bytes,
        params_id: str,
        model_digest: str,
    ) -> Self:
        """A keyset of new serialized keys, with a new salt and thereby a new ``key_id``."""
        salt = os.urandom(SALT_BYTES)
        description = KeysetDescription(
            key_id=compute_key_id(salt, evaluation_keys),
            params_id=params_id,
            model_digest=model_digest,
            salt=salt.hex(),
            created=datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            secret_bytes=len(secret),
            evaluation_bytes=len(evaluation_keys),
        )
        message = new_message(description)
        secret_part(message)[:] = secret
        return cls(access, message, evaluation_keys)

    @property
    def description(self) -> KeysetDescription:
        """Everything public about it."""
        return self._description

    @property
    def key_id(self) -> str:
        """SHA-256 of salt and evaluation keys, in hex."""
        return self._description.key_id

    @property
    def params_id(self) -> str:
        """Which circuits it fits."""
        return self._description.params_id

    @property
    def salt(self) -> bytes:
        """16 random bytes, which make the ``key_id`` of empty evaluation keys unique."""
        return bytes.fromhex(self._description.salt)

    @property
    def created(self) -> str:
        """When it was generated, in UTC (``2025-01-31T12:00:00Z``)."""
        return self._description.created

    @property
    def evaluation_keys(self) -> bytes:
        """What the server computes with; not secret. Raises `KeyStateError` in a child process."""
        if self._evaluation_keys is None:
            raise KeyStateError("the evaluation keys stayed in the parent process")
        return self._evaluation_keys

    def secret_bytes(self, access: SecretAccess) -> bytes:
        """A copy of the serialized secret keys, which nobody can wipe; prefer `secret_view`.

        Raises TypeError without the token of ``keys.access``, `KeyStateError` after `wipe`.
        """
        return bytes(self.secret_view(access))

    def secret_view(self, access: SecretAccess) -> memoryview:
        """The serialized secret keys, read-only and without a copy: zeros once they are wiped."""
        require_access(access)
        return secret_part(self._message()).toreadonly()

    def same_secret(self, other: Keyset) -> bool:
        """Whether both hold the same secret keys, whatever their names are."""
        mine, theirs = (k.secret_view(SECRET_ACCESS) for k in (self, other))
        return hmac.compare_digest(mine, theirs)

    def to_child(self, access: SecretAccess) -> memoryview:
        """The secret for a child process, in clear and not a copy: only ever for a pipe to it."""
        require_access(access)
        return memoryview(self._message()).toreadonly()

    @classmethod
    def from_parent(cls, data: bytes | bytearray | memoryview) -> Self:
        """The keyset that `to_child` wrote, without evaluation keys; takes ``data`` over.

        Raises `SealError` when it was cut. Only a writable ``data`` can be wiped.
        """
        return cls(SECRET_ACCESS, data, None)

    def wipe(self) -> None:
        """Overwrite the secret, as far as Python allows; again is harmless."""
        if isinstance(self._secret, bytearray | memoryview):
            wipe(self._secret)
        self._secret = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.wipe()

    def __repr__(self) -> str:
        return f"<Keyset key_id={self.key_id} params_id={self.params_id}>"

    def _message(self) -> bytes | bytearray | memoryview:
        if self._secret is None:
            raise KeyStateError(
                f"the secret keys of {self.key_id[:12]} were wiped", hint="open the keyset again"
            )
        return self._secret


def _require_match(description: KeysetDescription, evaluation_keys: bytes) -> None:
    if len(evaluation_keys) != description.evaluation_bytes:
        raise SealError("the evaluation keys are not as long as the keyset's header says")
    if compute_key_id(bytes.fromhex(description.salt), evaluation_keys) != description.key_id:
        raise SealError(f"the evaluation keys do not belong to key {description.key_id[:12]}")


__all__ = ["Keyset"]
