"""The float model against the quantized one: what each predicts, as class indices or values."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from blindfit.events import finite
from blindfit.outputs import predictions_of
from server_app.quantize import float_model, is_linear, output_kind


def clear_predictions(estimator: Any, X: NDArray[np.float64]) -> NDArray[Any] | None:
    """What the float model predicts for encoded rows (n, width); None for a tree."""
    model = float_model(estimator)
    if model is None:
        return None
    with np.errstate(over="ignore"):  # an exponential, at the bounds
        predicted: NDArray[Any] = np.asarray(model.predict(X))
    return np.searchsorted(model.classes_, predicted) if hasattr(model, "classes_") else predicted


def quantized_predictions(
    estimator: Any, quantized: Any, outputs: NDArray[np.int64]
) -> NDArray[Any]:
    """What a client makes of the quantized ``outputs`` (n, ...) of ``estimator``."""
    scores = quantized.dequantize_output(outputs)
    if not is_linear(quantized):
        scores = quantized.post_processing(scores)  # it sums up the trees
    classes = getattr(estimator, "classes_", None)
    indices = None if classes is None else tuple(range(len(classes)))
    with np.errstate(over="ignore"):
        return predictions_of(
            output_kind(estimator), indices, np.asarray(scores).reshape(len(outputs), -1)
        ).values


def differences(
    estimator: Any, quantized: Any, X: NDArray[np.float64], outputs: NDArray[np.int64]
) -> dict[str, Any]:
    """The fields ``same_labels`` and ``largest_error`` of a `blindfit.manifest.Gate`.

    ``outputs`` (n, ...) are the quantized model's for ``X`` (n, width).
    """
    clear = clear_predictions(estimator, X)
    if clear is None:
        return {}
    found = quantized_predictions(estimator, quantized, outputs)
    if hasattr(estimator, "classes_"):
        return {"same_labels": int(np.count_nonzero(found == clear))}
    with np.errstate(invalid="ignore"):
        return {"largest_error": finite(float(np.max(np.abs(found - clear))))}


__all__ = ["clear_predictions", "differences", "quantized_predictions"]
