"""From decrypted scores to what scikit-learn returns: labels, probabilities, values.

The circuit computes the linear part only; the rest is done here, in clear, by the formulas of
scikit-learn 1.5 (``LogisticRegression.predict_proba``, ``LinearClassifierMixin``, the inverse link
of generalized linear models).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from blindfit.manifest import Manifest, Output

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Predictions:
    """Predictions of n rows.

    ``values`` (n,): labels for a classifier, numbers for a regressor. ``probabilities``
    (n, classes), or None for estimators that have none. ``scores`` (n, outputs): as decrypted.
    """

    values: NDArray[Any]
    probabilities: Floats | None
    scores: Floats


def interpret(manifest: Manifest, scores: Floats) -> Predictions:
    """Predictions from decrypted ``scores`` (n, outputs)."""
    return predictions_of(manifest.output, manifest.schema_.classes, scores)


def predictions_of(output: Output, classes: tuple[Any, ...] | None, scores: Floats) -> Predictions:
    """Predictions from ``scores`` (n, outputs) of a model of ``classes`` (None: of values)."""
    if classes is None:
        raw = scores[:, 0]
        return Predictions(np.exp(raw) if output == "exp" else raw, None, scores)
    probabilities = _probabilities(output, scores)
    if output == "concrete":
        winners = scores.argmax(axis=1)
    elif scores.shape[1] == 1:
        winners = (scores[:, 0] > 0).astype(np.int64)
    else:
        winners = scores.argmax(axis=1)
    return Predictions(np.asarray(classes)[winners], probabilities, scores)


def _probabilities(output: str, scores: Floats) -> Floats | None:
    if output == "concrete":
        return scores  # Concrete ML's post-processing of a tree gives probabilities
    if output == "sigmoid":
        positive = _sigmoid(scores[:, :1])
        return np.asarray(np.concatenate([1 - positive, positive], axis=1))
    if output == "one-vs-rest":
        each = _sigmoid(scores)
        return np.asarray(each / each.sum(axis=1, keepdims=True))
    if output == "softmax":
        if scores.shape[1] == 1:
            scores = np.concatenate([-scores, scores], axis=1)
        exponentials = np.exp(scores - scores.max(axis=1, keepdims=True))
        return np.asarray(exponentials / exponentials.sum(axis=1, keepdims=True))
    return None


def _sigmoid(scores: Floats) -> Floats:
    # exp of large negative numbers would overflow in the plain formula.
    return np.asarray(0.5 * (1.0 + np.tanh(0.5 * scores)))
