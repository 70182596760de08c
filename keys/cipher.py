"""Encrypting rows and decrypting results: the one place where opened keys meet Concrete.

Meant to run in a worker process: Concrete takes ten seconds to import, encryption does not scale
with threads, and a result comes from a peer.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from blindfit.errors import (
    CiphertextError,
    InputError,
    KeyMismatchError,
    KeyStateError,
    ResponseMismatchError,
)
from keys.access import SECRET_ACCESS
from keys.generation import open_client, read_manifest

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from blindfit.manifest import Circuit
    from keys.keyset import Keyset


@dataclass(frozen=True, slots=True)
class Decrypted:
    """One decrypted result: the circuit's whole numbers, and what they stand for.

    ``quantized``: int64 (outputs,). ``scores``: float64; of a linear model (outputs,), dequantized
    and without any post-processing (no sigmoid, softmax or inverse link); of a tree (classes,) or
    (1,), its leaves already added up by Concrete ML.
    """

    quantized: NDArray[np.int64]
    scores: NDArray[np.float64]


class Cipher:
    """Encrypts and decrypts for one model version with one keyset at a time.

    ``bundle_folder`` must have been audited by `blindfit.bundle.open_bundle`. Raises
    `KeyMismatchError` if the keyset was made for other parameters: decrypting with a wrong key
    would raise nothing and return a confident wrong answer.
    """

    def __init__(self, bundle_folder: Path, keyset: Keyset):
        manifest = read_manifest(bundle_folder)
        self._circuit = manifest.circuit
        _require_parameters(self._circuit, keyset)
        self._aggregates = manifest.output == "concrete"
        self._model = open_client(bundle_folder)
        self.rekey(keyset)

    def rekey(self, keyset: Keyset) -> None:
        """Exchange the keyset for another of the same parameters; the old secret is dropped.

        Raises `KeyMismatchError`, and keeps the old one, for other parameters.
        """
        _require_parameters(self._circuit, keyset)
        from concrete import fhe

        self._model.client.keys = fhe.Keys.deserialize(keyset.secret_bytes(SECRET_ACCESS))
        self.key_id = keyset.key_id

    @property
    def width(self) -> int:
        """How many encoded columns a row has."""
        return self._circuit.inputs

    def encrypt(self, row: NDArray[np.float64]) -> bytes:
        """The ciphertext of one encoded row, float64 (width,); raises `InputError`."""
        import numpy as np

        if row.shape != (self.width,) or row.dtype != np.float64 or not np.isfinite(row).all():
            raise InputError(
                f"an encoded row is {self.width} finite float64 values; got {row.shape} {row.dtype}"
            )
        self._require_keys()
        return bytes(self._model.quantize_encrypt_serialize(row[np.newaxis]))

    def decrypt(self, ciphertext: bytes) -> Decrypted:
        """The result in a ciphertext; raises `ResponseMismatchError` if it is none of this circuit.

        It cannot tell whether the ciphertext was made for this key: compare the response's key_id
        before.
        """
        import numpy as np

        self._require_keys()
        self._require_frame(ciphertext)
        try:
            quantized = np.asarray(self._model.deserialize_decrypt(ciphertext))
        except (RuntimeError, ValueError) as error:
            raise ResponseMismatchError(
                f"the result is not a ciphertext of this model: {error}"
            ) from error
        scores = self._model.model.dequantize_output(quantized)
        if self._aggregates:
            scores = self._model.model.post_processing(scores)
        return Decrypted(
            quantized.astype(np.int64).reshape(-1),
            np.asarray(scores, dtype=np.float64).reshape(-1),
        )

    def _require_frame(self, ciphertext: bytes) -> None:
        # A frame of another shape can crash the native deserializer.
        try:
            self._circuit.output.check(ciphertext, "result")
        except CiphertextError as error:
            raise ResponseMismatchError(str(error)) from error

    def _require_keys(self) -> None:
        # Concrete generates keys silently when it has none: a lost key would become a new one.
        if not self._model.client.keys.are_generated:
            raise KeyStateError(
                f"the secret keys of {self.key_id[:12]} are not loaded",
                hint="open the keyset again, or restore it from a backup",
            )


def _require_parameters(circuit: Circuit, keyset: Keyset) -> None:
    if keyset.params_id != circuit.params_id:
        raise KeyMismatchError(
            f"key {keyset.key_id[:12]} was made for parameters {keyset.params_id[:12]}, "
            f"this model version has {circuit.params_id[:12]}",
            details={"key_id": keyset.key_id, "params_id": circuit.params_id},
        )


__all__ = ["Cipher", "Decrypted"]
