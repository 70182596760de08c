"""Keysets without Concrete, cheap passphrases, and a server in memory, for tests of `keys`."""

from __future__ import annotations

import io
import os
from concurrent.futures import Future
from pathlib import Path

import numpy as np

from blindfit.errors import KeyNotUploadedError, KeyRevokedError, KeyStateError
from blindfit.wire_types import KeyStatus, PredictReply
from keys.access import SECRET_ACCESS
from keys.cipher import Decrypted
from keys.keyset import Keyset
from keys.seal import seal
from keys.stanzas import Argon2Cost, Passphrase

CHEAP = Argon2Cost(memory_kib=8 * 1024, passes=1, lanes=1)
PASSPHRASE = b"correct horse"
PARAMS = "ab" * 32
MODEL_DIGEST = "cd" * 32


def make_keyset(
    secret: bytes | None = None, evaluation_keys: bytes = b"", params_id: str = PARAMS
) -> Keyset:
    return Keyset.from_raw(
        SECRET_ACCESS,
        secret=os.urandom(32) if secret is None else secret,
        evaluation_keys=evaluation_keys,
        params_id=params_id,
        model_digest=MODEL_DIGEST,
    )


def sealed(keyset: Keyset, passphrase: bytes = PASSPHRASE) -> bytes:
    file = io.BytesIO()
    seal(keyset, file, [Passphrase(passphrase, CHEAP)])
    return file.getvalue()


class MemoryServer:
    """A `KeyServer` by the server's rules; ``circuit`` maps a ciphertext to a result."""

    def __init__(self, circuit):
        self.keys: dict[str, KeyStatus] = {}
        self.calls: list[str] = []
        self._circuit = circuit

    def _set(self, key_id: str, state: str) -> KeyStatus:
        known = self.keys[key_id]
        self.keys[key_id] = KeyStatus(key_id, known.params_id, state, known.size, known.received)
        return self.keys[key_id]

    def upload_key(self, key_id, params_id, salt, evaluation_keys, on_progress=None) -> KeyStatus:
        self.calls.append("upload")
        size = len(evaluation_keys)
        for received in range(0, size + 1, max(1, size // 20)):
            if on_progress:
                on_progress(received)
        return self.keys.setdefault(key_id, KeyStatus(key_id, params_id, "STAGED", size, size))

    def key_status(self, key_id) -> KeyStatus:
        if key_id not in self.keys:
            raise KeyNotUploadedError("unknown key")
        return self.keys[key_id]

    def list_keys(self) -> list[KeyStatus]:
        return list(self.keys.values())

    def activate_key(self, key_id, replaces, grace=None) -> KeyStatus:
        self.calls.append("activate")
        status = self.key_status(key_id)
        active = [
            k.key_id
            for k in self.keys.values()
            if k.state == "ACTIVE" and k.params_id == status.params_id
        ]
        if active != ([replaces] if replaces else []):
            raise KeyStateError("another key is active")
        if replaces:
            self._set(replaces, "RETIRING")
        return self._set(key_id, "ACTIVE")

    def revoke_key(self, key_id) -> KeyStatus:
        self.calls.append("revoke")
        self.key_status(key_id)
        return self._set(key_id, "REVOKED")

    def predict(self, model, version, key_id, ciphertext, *, prove=False) -> PredictReply:
        self.calls.append("predict")
        state = self.key_status(key_id).state
        if state not in ({"STAGED", "ACTIVE"} if prove else {"ACTIVE", "RETIRING"}):
            raise KeyRevokedError(f"the key is {state}")
        result = self._circuit(ciphertext)
        return PredictReply("request", model, version, key_id, result, 0.0)


class PlainCipher:
    """A `RowCipher` whose ciphertexts are the secret's first bytes and the row."""

    def __init__(self, folder: Path, keyset: Keyset):
        self._secret = keyset.secret_bytes(SECRET_ACCESS)[:8]

    def encrypt(self, row) -> Future[bytes]:
        return _done(self._secret + row.tobytes())

    def decrypt(self, ciphertext: bytes) -> Future[Decrypted]:
        assert ciphertext[:8] == self._secret
        values = np.frombuffer(ciphertext[8:], dtype=np.int64)
        return _done(Decrypted(values, values.astype(np.float64)))

    def close(self) -> None:
        pass


def weighted_sum(ciphertext: bytes) -> bytes:
    """The circuit of `PlainCipher`: the row's sum and its double."""
    total = int(np.frombuffer(ciphertext[8:], dtype=np.float64).sum())
    return ciphertext[:8] + np.array([total, 2 * total], dtype=np.int64).tobytes()


def _done(value) -> Future:
    future: Future = Future()
    future.set_result(value)
    return future
