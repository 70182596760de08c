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
from blindfit.manifest import Circuit, Cost, Gate, Probes
from blindfit.parameters import check_security_floor, params_id
from server_app.calibration import boundary_and_random_rows, calibration_rows
from server_app.comparing import differences
from server_app.linking import check_temporary_folder
from server_app.quantize import is_linear, quantized_model, quantized_outputs
from server_app.trial import Trial, cost_of

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
    """A circuit whose ``client.zip`` and ``server.zip`` are in ``folder``, and that passed.

    ``trial`` runs it encrypted.
    """

    folder: Path
    quantized: Any
    circuit: Circuit
    probes: Probes
    gate: Gate
    cost: Cost
    trial: Trial


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
    trial, expected = Trial(folder), quantized_outputs(quantized, rows)
    executions = trial.prove(rows, expected)
    found = differences(estimator, quantized, rows, expected)
    specs = _specs(folder)
    check_security_floor(specs)
    circuit = Circuit(
        params_id=params_id(specs),
        n_bits=n_bits,
        bits=program.graph.maximum_integer_bit_width(),
        inputs=width,
        outputs=int(expected[:1].size),
        programmable_bootstraps=bool(specs["keyset"]["lweBootstrapKeys"]),
        **trial.frames(rows[0]),
    )
    return Compiled(
        folder,
        quantized,
        circuit,
        _probes(quantized, width),
        Gate(rows=len(rows), agreed=len(executions), **found),
        cost_of(executions),
        trial,
    )


def _gate_rows(quantized: Any, width: int) -> Floats:
    if not is_linear(quantized):
        return boundary_and_random_rows(width, _GATE_TREE_ROWS, seed=1)
    worst = calibration_rows(quantized, width)
    step = max(1, -(-len(worst) // _GATE_WORST_ROWS))
    return np.concatenate([worst[::step], boundary_and_random_rows(width, _GATE_ROWS, seed=1)])


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
