"""Model to circuit: worst-case calibration, the gate by real encrypted execution, the artifacts."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from blindfit.errors import PublishError
from blindfit.fhe_runtime import load_concrete
from blindfit.frame import Frame
from blindfit.manifest import Circuit, Gate, Probes
from blindfit.parameters import check_security_floor, params_id
from server_app.calibration import boundary_and_random_rows, calibration_rows
from server_app.linking import check_temporary_folder
from server_app.quantize import is_linear, quantized_model, quantized_outputs

Floats = NDArray[np.float64]
Calibrate = Callable[[Any, int], Floats]
Report = Callable[[str], None]


def quiet(step: str) -> None:
    """Reports nothing."""
    del step


_GATE_ROWS = 16  # corners and random rows, beside the worst-case rows
_GATE_WORST_ROWS = 24
_GATE_TREE_ROWS = 6  # a tree takes seconds a row


@dataclass(frozen=True)
class Compiled:
    """A circuit whose ``client.zip`` and ``server.zip`` are in ``folder``, and that passed."""

    folder: Path
    quantized: Any
    circuit: Circuit
    probes: Probes
    gate: Gate


def compile_model(
    estimator: Any,
    width: int,
    n_bits: int,
    folder: Path,
    *,
    calibrate: Calibrate = calibration_rows,
    report: Report = quiet,
) -> Compiled:
    """Quantize, compile, save into the empty ``folder``, and let the result prove itself.

    ``estimator`` takes encoded rows (``width`` columns in [0, 1]). Raises `PublishError` when it
    cannot be compiled or when the gate finds one row on which the encrypted result differs.
    """
    check_temporary_folder()
    load_concrete()
    from concrete.ml.deployment import FHEModelDev

    report("quantizing")
    quantized = quantized_model(estimator, width, n_bits)
    calibration = calibrate(quantized, width)
    report("compiling")
    try:
        program = quantized.compile(calibration)
    except (RuntimeError, ValueError) as error:
        raise PublishError(
            f"the circuit cannot be compiled: {error}",
            hint="lower fhe.n_bits, or use fewer features: wide sums need too many bits",
        ) from error
    FHEModelDev(str(folder), quantized).save(via_mlir=True)
    report("running the gate on encrypted rows")
    rows = _gate_rows(quantized, width)
    trial = _Trial(folder)
    gate = trial.agreement(quantized, rows)
    specs = _specs(folder)
    check_security_floor(specs)
    circuit = Circuit(
        params_id=params_id(specs),
        n_bits=n_bits,
        bits=program.graph.maximum_integer_bit_width(),
        inputs=width,
        outputs=int(quantized_outputs(quantized, rows[:1]).size),
        programmable_bootstraps=bool(specs["keyset"]["lweBootstrapKeys"]),
        **trial.frames(rows[0]),
    )
    return Compiled(folder, quantized, circuit, _probes(quantized, width), gate)


def _gate_rows(quantized: Any, width: int) -> Floats:
    if not is_linear(quantized):
        return boundary_and_random_rows(width, _GATE_TREE_ROWS, seed=1)
    worst = calibration_rows(quantized, width)
    step = max(1, -(-len(worst) // _GATE_WORST_ROWS))
    return np.concatenate([worst[::step], boundary_and_random_rows(width, _GATE_ROWS, seed=1)])


class _Trial:
    """The saved artifacts, executed as a client and a server will."""

    def __init__(self, folder: Path):
        from concrete.ml.deployment import FHEModelServer

        self._folder = folder
        self._server = FHEModelServer(str(folder))
        self._client = self._new_client()
        self._keys: bytes = self._client.get_serialized_evaluation_keys()

    def _new_client(self) -> Any:
        from concrete.ml.deployment import FHEModelClient

        client = FHEModelClient(str(self._folder))
        client.generate_private_and_evaluation_keys()
        return client

    def agreement(self, quantized: Any, rows: Floats) -> Gate:
        """Run every row encrypted; raises `PublishError` at the first that differs."""
        from concrete import fhe

        keys = fhe.EvaluationKeys.deserialize(self._keys)
        expected = quantized_outputs(quantized, rows)
        for index, row in enumerate(rows):
            ciphertext = self._client.quantize_encrypt_serialize(row[None, :])
            result = self._client.deserialize_decrypt(self._server.run(ciphertext, keys))
            if not np.array_equal(np.ravel(result), np.ravel(expected[index])):
                raise PublishError(
                    f"the gate is closed: on row {index + 1} of {len(rows)} the encrypted result "
                    "differs from the quantized model's",
                    hint="the circuit overflows inside the schema's bounds; do not serve it",
                )
        return Gate(rows=len(rows), agreed=len(rows))

    def frames(self, row: Floats) -> dict[str, Frame]:
        """The frames of ciphertexts, results and evaluation keys, on two independent clients."""
        messages: list[tuple[bytes, bytes, bytes]] = []
        for client in (self._client, self._new_client()):
            keys = client.get_serialized_evaluation_keys()
            ciphertext = client.quantize_encrypt_serialize(row[None, :])
            messages.append((ciphertext, self._server.run(ciphertext, keys), keys))
        names = ("input", "output", "evaluation_keys")
        return {
            name: Frame.measure(m)
            for name, m in zip(names, zip(*messages, strict=True), strict=True)
        }


def _specs(folder: Path) -> dict[str, Any]:
    with zipfile.ZipFile(folder / "client.zip") as archive:
        specs: dict[str, Any] = json.loads(archive.read("client.specs.json"))
        return specs


def _probes(quantized: Any, width: int) -> Probes:
    lower, upper = quantized_outputs(quantized, np.stack([np.zeros(width), np.ones(width)]))
    return Probes(
        lower=tuple(int(value) for value in np.ravel(lower)),
        upper=tuple(int(value) for value in np.ravel(upper)),
    )
