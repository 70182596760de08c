"""The handle of a keyset: it names the keys and does not show them.

It cannot be made, pickled or printed by accident; the idea is Tink's ``KeysetHandle``.
"""

from __future__ import annotations

import hmac
import os
import struct
from datetime import UTC, datetime
from pathlib import Path
from typing import NoReturn, Self

from blindfit.errors import SealError
from keys.access import SECRET_ACCESS, SecretAccess, require_access
from keys.description import (
    SALT_BYTES,
    KeysetDescription,
    compute_key_id,
    decode_description,
    encode_description,
)
from keys.generation import client_digest, generate_keys, read_manifest

_LENGTH = struct.Struct(">I")


class Keyset:
    """One generation of FHE keys of one client for one ``params_id``.

    ``evaluation_keys`` may leave the machine. The secret bytes are had by `secret_bytes` with the
    access token, and stay in memory for as long as Python keeps the handle: wiping ``bytes`` is
    not possible.
    """

    __slots__ = ("_description", "_evaluation_keys", "_secret")

    def __init__(
        self,
        access: SecretAccess,
        description: KeysetDescription,
        secret: bytes,
        evaluation_keys: bytes,
    ):
        require_access(access)
        _require_match(description, secret, evaluation_keys)
        self._description = description
        self._secret = secret
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
        secret: bytes,
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
        return cls(access, description, secret, evaluation_keys)

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
        """What the server computes with; not secret."""
        return self._evaluation_keys

    def secret_bytes(self, access: SecretAccess) -> bytes:
        """The serialized secret keys; raises TypeError without the token of ``keys.access``."""
        require_access(access)
        return self._secret

    def same_secret(self, other: Keyset) -> bool:
        """Whether both hold the same secret keys, whatever their names are."""
        return hmac.compare_digest(self._secret, other._secret)

    def to_child(self, access: SecretAccess) -> bytes:
        """The keyset for a child process, in clear: only ever through a pipe to that child."""
        require_access(access)
        header = encode_description(self._description)
        return b"".join((_LENGTH.pack(len(header)), header, self._secret, self._evaluation_keys))

    @classmethod
    def from_parent(cls, data: bytes) -> Self:
        """The keyset that `to_child` wrote; raises `SealError` when it was cut."""
        if len(data) < _LENGTH.size:
            raise SealError("the keyset from the parent process was cut")
        end = _LENGTH.size + _LENGTH.unpack_from(data)[0]
        description = decode_description(data[_LENGTH.size : end])
        middle = end + description.secret_bytes
        return cls(SECRET_ACCESS, description, data[end:middle], data[middle:])

    def __repr__(self) -> str:
        return f"<Keyset key_id={self.key_id} params_id={self.params_id}>"

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise TypeError("a keyset is not pickled or copied: seal it, or use to_child")


def _require_match(description: KeysetDescription, secret: bytes, evaluation_keys: bytes) -> None:
    if (len(secret), len(evaluation_keys)) != (
        description.secret_bytes,
        description.evaluation_bytes,
    ):
        raise SealError("the keys are not as long as the keyset's header says")
    if compute_key_id(bytes.fromhex(description.salt), evaluation_keys) != description.key_id:
        raise SealError(f"the evaluation keys do not belong to key {description.key_id[:12]}")


__all__ = ["Keyset"]
