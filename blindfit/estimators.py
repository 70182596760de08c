"""scikit-learn estimators from a study, and their parameters as plain arrays.

Federated training averages arrays, so their shapes must follow from the study alone, whatever rows
a participant has:

| study         | coefficients   | intercept |
|---------------|----------------|-----------|
| two classes   | ``(1, width)`` | ``(1,)``  |
| k > 2 classes | ``(k, width)`` | ``(k,)``  |
| a value       | ``(width,)``   | ``(1,)``  |
"""

from __future__ import annotations

import difflib
import math
import warnings
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn import linear_model, svm
from sklearn.base import clone

from blindfit.errors import StudyError, UpdateError
from blindfit.study import Study

Parameters = list[NDArray[np.float64]]

# liblinear drops rows of weight 0, and with them their class. This weight keeps them, and moves
# the objective by less than any solver's tolerance.
PHANTOM_WEIGHT = 1e-9
_TRIAL_ROWS = 20  # for each class; enough for a stratified validation split of a tenth
GENERALIZED = frozenset({"PoissonRegressor", "GammaRegressor", "TweedieRegressor"})
_POWERS = {"PoissonRegressor": 1.0, "GammaRegressor": 2.0}


def make_estimator(study: Study) -> Any:
    """The unfitted scikit-learn estimator of ``study``, with its hyper-parameters.

    TOML has no null: the text ``"none"`` stands for Python's ``None``. Raises `StudyError` naming
    ``model.params.X`` when X is unknown or has a value that scikit-learn refuses.
    """
    name = study.model.estimator
    estimator = getattr(svm if name.startswith("LinearSV") else linear_model, name)()
    allowed = estimator.get_params()
    for key, value in study.model.params.items():
        if key not in allowed:
            near = difflib.get_close_matches(key, allowed, n=1)
            guess = f"; did you mean {near[0]}?" if near else ""
            raise StudyError(
                f"model.params.{key}: {name} has no such hyper-parameter{guess}",
                hint=f"{name} has: {', '.join(sorted(allowed))}",
            )
        estimator.set_params(**{key: _from_toml(key, value, study)})
    _try_fit(estimator, study)
    return estimator


def _from_toml(key: str, value: Any, study: Study) -> Any:
    if value == "none":
        return None
    if key == "class_weight" and isinstance(value, dict):
        # Keys of a TOML table are texts; scikit-learn wants the classes themselves.
        by_text = {str(label): label for label in study.schema_.classes or ()}
        return {by_text.get(label, label): weight for label, weight in value.items()}
    return value


def _try_fit(estimator: Any, study: Study) -> None:
    # scikit-learn validates values, and which of them go together, only in fit().
    if study.schema_.target_range is None:
        y = np.tile(class_labels(study), _TRIAL_ROWS)
    else:
        y = np.linspace(study.schema_.target_range.min, study.schema_.target_range.max, 50)
    X = np.linspace(0.0, 1.0, len(y)).reshape(-1, 1)
    try:
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            clone(estimator).fit(X, y)
    except (ValueError, TypeError) as error:
        raise StudyError(_explain(str(error), study)) from error


def _explain(reason: str, study: Study) -> str:
    named = [key for key in study.model.params if f"'{key}' parameter" in reason]
    if named:
        return f"model.params.{named[0]}: {reason}"
    if "values of y" in reason or "value(s) of y" in reason:
        return f"schema.target_range: {reason} (model.estimator {study.model.estimator})"
    return f"model.params: {reason}"


def class_labels(study: Study) -> NDArray[Any]:
    """The study's classes (k,), sorted, as scikit-learn's ``classes_``; empty for a value."""
    return np.asarray(study.schema_.classes or ())


def parameter_shapes(study: Study) -> list[tuple[int, ...]]:
    """The shapes of coefficients and intercept."""
    width = study.schema_.width
    if not study.schema_.is_classification:
        return [(width,), (1,)]
    classes = len(class_labels(study))
    outputs = 1 if classes == 2 else classes
    return [(outputs, width), (outputs,)]


def flatten(parameters: Parameters) -> NDArray[np.float64]:
    """All numbers of coefficients and intercept, one after the other (n,)."""
    return np.concatenate([array.ravel() for array in parameters])


def tweedie_power(estimator: Any) -> float | None:
    """0 is normal, 1 Poisson, 2 gamma; None for estimators that minimize another loss."""
    name = type(estimator).__name__
    return float(estimator.power) if name == "TweedieRegressor" else _POWERS.get(name)


def unflatten(study: Study, flat: NDArray[np.float64]) -> Parameters:
    """Coefficients and intercept from all their numbers, (n,); raises `UpdateError`."""
    shapes = parameter_shapes(study)
    sizes = [math.prod(shape) for shape in shapes]
    if flat.shape != (sum(sizes),):
        raise UpdateError(f"{len(flat)} parameters; the study has {sum(sizes)}")
    parts = np.split(flat, np.cumsum(sizes)[:-1])
    return [part.reshape(shape) for part, shape in zip(parts, shapes, strict=True)]


def initial_parameters(study: Study) -> Parameters:
    """Where every participant starts: zeros."""
    return [np.zeros(shape) for shape in parameter_shapes(study)]


def get_parameters(estimator: Any) -> Parameters:
    """Coefficients and intercept of a fitted estimator, as copies in float64."""
    coefficients = np.array(estimator.coef_, dtype=np.float64, order="C")  # as it is sent
    outputs = coefficients.shape[:-1] or (1,)
    # Without fit_intercept scikit-learn stores the number 0.0.
    intercept = np.broadcast_to(np.asarray(estimator.intercept_, dtype=np.float64), outputs)
    return [coefficients, intercept.copy()]


def set_parameters(estimator: Any, study: Study, parameters: Parameters) -> Any:
    """Give ``estimator`` these parameters, so that it predicts as if it had been fitted.

    Returns ``estimator``. Raises `UpdateError` when the shapes are not the study's.
    """
    shapes = [np.shape(array) for array in parameters]
    if shapes != parameter_shapes(study):
        raise UpdateError(f"parameters of shapes {shapes}; the study has {parameter_shapes(study)}")
    coefficients, intercept = (np.array(array, dtype=np.float64) for array in parameters)
    estimator.coef_ = coefficients
    estimator.n_features_in_ = study.schema_.width
    name = study.model.estimator
    # The same types as after fit(): these keep an array of one, the other regressors a number.
    as_array = study.schema_.is_classification or name in ("SGDRegressor", "LinearSVR")
    estimator.intercept_ = intercept if as_array else float(intercept[0])
    if study.schema_.is_classification:
        estimator.classes_ = class_labels(study)
    if name in GENERALIZED:
        estimator._base_loss = estimator._get_loss()  # predict() takes its link function from it
    return estimator


def with_every_class(
    X: NDArray[np.float64], y: NDArray[Any], classes: NDArray[Any], *, at_least: int = 1
) -> tuple[NDArray[np.float64], NDArray[Any], NDArray[np.float64]]:
    """``X`` (n, width) and ``y`` (n,) with phantom rows, so that no class has under ``at_least``.

    Returns rows, targets and sample weights: 1 for real rows and `PHANTOM_WEIGHT` for phantoms.
    scikit-learn learns its classes from the rows, and arrays of other shapes cannot be averaged.
    """
    counts = [int(np.count_nonzero(y == label)) for label in classes]
    labels = np.repeat(classes, [max(0, at_least - count) for count in counts])
    phantoms = np.zeros((len(labels), X.shape[1]))
    weights = np.concatenate([np.ones(len(X)), np.full(len(labels), PHANTOM_WEIGHT)])
    return np.concatenate([X, phantoms]), np.concatenate([y, labels]), weights
