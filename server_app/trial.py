"""A compiled circuit, executed as a client and a server will: encrypted, from the saved files."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from numpy.typing import NDArray

from blindfit.errors import PublishError
from blindfit.fhe_runtime import take_back_signals
from blindfit.frame import Frame
from blindfit.manifest import Cost

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Execution:
    """One encrypted row: the decrypted outputs (n,), and the seconds that each step took."""

    outputs: NDArray[np.int64]
    encrypt: float
    run: float
    decrypt: float


class Trial:
    """The artifacts in ``folder``, with keys of its own that are never stored."""

    def __init__(self, folder: Path):
        from concrete import fhe
        from concrete.ml.deployment import FHEModelServer

        self._folder = folder
        self._server = FHEModelServer(str(folder))
        self._client = self._new_client()
        serialized = self._client.get_serialized_evaluation_keys()
        # Deserialized once: a server keeps them too.
        self._keys = fhe.EvaluationKeys.deserialize(serialized)

    def _new_client(self) -> Any:
        from concrete.ml.deployment import FHEModelClient

        client = FHEModelClient(str(self._folder))
        client.generate_private_and_evaluation_keys()
        return client

    def execute(self, row: Floats) -> Execution:
        """Encrypt, run and decrypt an encoded ``row`` (width,)."""
        times = [time.perf_counter()]
        ciphertext = self._client.quantize_encrypt_serialize(row[None, :])
        times.append(time.perf_counter())
        result = self._run(ciphertext, self._keys)
        times.append(time.perf_counter())
        outputs = np.ravel(self._client.deserialize_decrypt(result)).astype(np.int64)
        times.append(time.perf_counter())
        encrypt, run, decrypt = np.diff(times).tolist()
        return Execution(outputs, encrypt, run, decrypt)

    def _run(self, ciphertext: bytes, keys: Any) -> bytes:
        result: bytes = self._server.run(ciphertext, keys)
        take_back_signals()
        return result

    def prove(self, rows: Floats, expected: NDArray[np.int64]) -> list[Execution]:
        """Execute ``rows`` (n, width); raises `PublishError` at the first whose outputs are not
        the ``expected`` ones (n, ...).
        """
        executions = []
        for index, row in enumerate(rows):
            executions.append(self.execute(row))
            if not np.array_equal(executions[-1].outputs, np.ravel(expected[index])):
                raise PublishError(
                    f"the gate is closed: on row {index + 1} of {len(rows)} the encrypted result "
                    "differs from the quantized model's",
                    hint="the circuit overflows inside the schema's bounds; do not serve it",
                )
        return executions

    def frames(self, row: Floats) -> dict[str, Frame]:
        """The frames of ciphertexts, results and evaluation keys, on two independent clients."""
        messages: list[tuple[bytes, bytes, bytes]] = []
        for client in (self._client, self._new_client()):
            keys = client.get_serialized_evaluation_keys()
            ciphertext = client.quantize_encrypt_serialize(row[None, :])
            messages.append((ciphertext, self._run(ciphertext, keys), keys))
        names = ("input", "output", "evaluation_keys")
        return {
            name: Frame.measure(m)
            for name, m in zip(names, zip(*messages, strict=True), strict=True)
        }


def cost_of(executions: Sequence[Execution]) -> Cost:
    """What a row costs on this machine; the median leaves out the first, which starts threads."""
    return Cost(
        rows=len(executions),
        cores=len(os.sched_getaffinity(0)),
        encrypt=median(execution.encrypt for execution in executions),
        run=median(execution.run for execution in executions),
        decrypt=median(execution.decrypt for execution in executions),
    )


__all__ = ["Execution", "Trial", "cost_of"]
