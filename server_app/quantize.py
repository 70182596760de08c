"""From a fitted estimator to a quantized Concrete ML model, without private rows."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
from numpy.typing import NDArray

from blindfit.errors import PublishError
from blindfit.fhe_runtime import load_concrete
from blindfit.manifest import Output


def is_concrete(estimator: Any) -> bool:
    """Whether the estimator is Concrete ML's own."""
    return type(estimator).__module__.startswith("concrete.ml.")


def float_model(estimator: Any) -> Any | None:
    """The scikit-learn model that is quantized; None for a tree, which was fitted on integers."""
    if not is_concrete(estimator):
        return estimator
    return estimator.sklearn_model if is_linear(estimator) else None


def quantized_model(estimator: Any, width: int, n_bits: int) -> Any:
    """The Concrete ML model of a fitted scikit-learn or Concrete ML estimator.

    Deterministic: the same estimator gives the same integers, so a quantized model can be made
    again to compare with. A linear model's inputs are quantized on [0, 1], the range of every
    encoded row (``width`` columns). Raises `PublishError` for what cannot be converted.
    """
    if is_concrete(estimator):
        if not is_linear(estimator):
            return estimator  # a tree: its quantizers belong to its thresholds
        estimator = estimator.sklearn_model
    load_concrete()
    from concrete.ml import sklearn as concrete_sklearn

    kind = getattr(concrete_sklearn, type(estimator).__name__, None)
    if kind is None or not hasattr(estimator, "coef_"):
        raise PublishError(
            f"{type(estimator).__name__} cannot be converted",
            hint="fit a linear scikit-learn estimator, or a Concrete ML estimator",
        )
    _check_coefficients(estimator, width)
    if hasattr(estimator, "classes_"):
        # The conversion takes whole numbers only, and the circuit knows outputs and no labels.
        estimator = copy.copy(estimator)
        estimator.classes_ = np.arange(len(estimator.classes_))
    bounds = np.stack([np.zeros(width), np.ones(width)])
    return kind.from_sklearn_model(estimator, bounds, n_bits=n_bits)


def quantized_outputs(model: Any, X: NDArray[np.float64]) -> NDArray[np.int64]:
    """The integers (n, ...) that the circuit has to give for encoded rows ``X`` (n, width)."""
    outputs: NDArray[np.int64] = np.asarray(model._inference(model.quantize_input(X)))
    return outputs


def is_linear(model: Any) -> bool:
    """Whether a Concrete ML model is a weighted sum, and not trees."""
    return hasattr(model, "_q_weights")


def output_kind(estimator: Any) -> Output:
    """How the client turns decrypted scores into probabilities or values, as scikit-learn does."""
    if is_concrete(estimator):
        if not is_linear(estimator):
            return "concrete"
        estimator = estimator.sklearn_model
    name = type(estimator).__name__
    if name == "LogisticRegression":
        return _logistic_output(estimator)
    if name == "SGDClassifier":
        if estimator.loss != "log_loss":
            return "scores"
        return "sigmoid" if len(estimator.classes_) == 2 else "one-vs-rest"
    if name == "LinearSVC":
        return "scores"
    if name in {"PoissonRegressor", "GammaRegressor"}:
        return "exp"
    if name == "TweedieRegressor":
        log = estimator.link == "log" or (estimator.link == "auto" and estimator.power > 0)
        return "exp" if log else "identity"
    return "identity"


def _logistic_output(estimator: Any) -> Output:
    # The rule of scikit-learn 1.5's LogisticRegression.predict_proba.
    binary = len(estimator.classes_) == 2
    one_vs_rest = estimator.multi_class == "ovr" or (
        estimator.multi_class in ("auto", "deprecated")
        and (binary or estimator.solver == "liblinear")
    )
    if not one_vs_rest:
        return "softmax"
    return "sigmoid" if binary else "one-vs-rest"


def _check_coefficients(estimator: Any, width: int) -> None:
    coefficients = np.asarray(estimator.coef_)
    intercept = np.asarray(getattr(estimator, "intercept_", 0.0))
    if coefficients.shape[-1] != width:
        raise PublishError(
            f"the model has {coefficients.shape[-1]} features; the schema encodes to {width}"
        )
    if not (np.isfinite(coefficients).all() and np.isfinite(intercept).all()):
        raise PublishError("the model has coefficients that are not finite")
    if not coefficients.any():
        raise PublishError(
            "every coefficient of the model is zero: it would answer the same for every row",
            hint="train longer, or with weaker regularization",
        )
