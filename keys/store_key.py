"""The store's own key: Ed25519, so that whoever has not opened the store cannot change it unseen.

``store.json`` holds the public key, and stanzas that wrap the 32-byte seed: one for the store's
lock (a passphrase or the OS keyring), one for each recovery recipient. It is signed by the key that
it describes, which binds the stanzas to it. That alone proves nothing to a reader, since anybody
can make another such file; opening the store does, because only the holder of the lock can have
wrapped the seed that belongs to the public key. A recovery key does not: HPKE in base mode tells
nothing about who wrapped (RFC 9180 §9.1), so compare the store's fingerprint when using one.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

from blindfit.errors import AccessError, IntegrityError, SealError
from blindfit.strict_json import canonical, loads_strict
from keys.lost_file import put_back
from keys.signatures import PrivateKey, public_bytes, require_signature, sign
from keys.stanzas import Opener, Recipient, Stanza

SEED_BYTES: Final = 32
_VERSION: Final = 1
_PURPOSE: Final = "store key"
_MEMBERS: Final = {"version", "public_key", "lock", "recovery", "signature"}


@dataclass(frozen=True)
class StoreFile:
    """The content of ``store.json``: a public key of 32 bytes and the stanzas for its seed."""

    public_key: bytes
    lock: Stanza
    recovery: tuple[Stanza, ...]

    @property
    def lock_kind(self) -> str:
        """The kind of the lock's stanza, such as ``argon2id``."""
        return str(self.lock.get("kind"))


def lock_seed(seed: bytearray, lock: Recipient, recovery: Iterable[Recipient]) -> bytes:
    """``store.json`` for the key of ``seed``, which ``lock`` and each of ``recovery`` can open."""
    key = PrivateKey.from_private_bytes(bytes(seed))
    document: dict[str, Any] = {
        "version": _VERSION,
        "public_key": public_bytes(key).hex(),
        "lock": dict(lock.wrap(seed)),
        "recovery": [dict(recipient.wrap(seed)) for recipient in recovery],
    }
    document["signature"] = sign(key, canonical(document), _PURPOSE).hex()
    return json.dumps(document, indent=1, sort_keys=True).encode()


def decode_store_file(content: bytes) -> StoreFile:
    """What `lock_seed` wrote; raises `IntegrityError` for anything else."""
    try:
        document = loads_strict(content)
        if set(document) != _MEMBERS or document["version"] != _VERSION:
            raise ValueError("its members or its version are not known")
        signature = bytes.fromhex(document.pop("signature"))
        public_key = bytes.fromhex(document["public_key"])
        require_signature(public_key, canonical(document), signature, _PURPOSE)
        stanzas = [document["lock"], *document["recovery"]]
        if not all(isinstance(stanza, dict) for stanza in stanzas):
            raise ValueError("a stanza is not an object")
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise IntegrityError(
            f"the key store's store.json is damaged: {error}",
            hint=put_back("store.json"),
        ) from error
    return StoreFile(public_key, stanzas[0], tuple(stanzas[1:]))


def open_seed(file: StoreFile, opener: Opener) -> bytearray:
    """The seed; raises `PassphraseError`, `AccessError`, or `IntegrityError` for a foreign key.

    An `IntegrityError` means that the opener's stanza was brought in from another file.
    """
    seed = _unwrap(file, opener)
    if public_bytes(PrivateKey.from_private_bytes(bytes(seed))) != file.public_key:
        raise IntegrityError(
            "the key in store.json is not the one that its stanzas wrap",
            hint=put_back("store.json"),
        )
    return seed


def _unwrap(file: StoreFile, opener: Opener) -> bytearray:
    refusal: AccessError | None = None
    for stanza in (file.lock, *file.recovery):
        if stanza.get("kind") == opener.kind:
            try:
                return opener.unwrap(stanza)
            except AccessError as error:
                refusal = error
            except SealError as error:
                raise IntegrityError(f"the stanzas in store.json are damaged: {error}") from error
    raise refusal or AccessError(
        f"the key store is not locked by {opener.kind} but by {file.lock_kind}",
        hint="run `blindfit-keys recipients list` to see what opens it",
    )


__all__ = ["SEED_BYTES", "StoreFile", "decode_store_file", "lock_seed", "open_seed"]
