"""A participant's part of a round, as pure functions on arrays."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning

from blindfit.errors import TrainingError
from blindfit.estimators import (
    Parameters,
    class_labels,
    get_parameters,
    make_estimator,
    set_parameters,
    with_every_class,
)
from blindfit.metrics import Metrics, evaluate
from blindfit.study import Study

Floats = NDArray[np.float64]


def fit_local(
    study: Study, parameters: Parameters, X: Floats, y: NDArray[Any], *, seed: int
) -> Parameters:
    """The update of one participant: a fit on ``X`` (n, width), ``y`` (n,).

    Starts from the global ``parameters`` where the solver can be warm-started; liblinear and closed
    forms solve the local problem anew. What tells a class that is absent from ``y`` stays as it is
    in ``parameters``: rows that never show a class say nothing about it, and their fit drives its
    intercept towards minus infinity. ``seed`` is used unless the study has a
    ``random_state``. Raises `TrainingError` when the fit does not end in finite numbers.
    """
    estimator = make_estimator(study)
    if getattr(estimator, "random_state", 0) is None:
        estimator.set_params(random_state=seed)
    try:
        _fit(estimator, study, parameters, X, y)
    except ValueError as error:
        raise TrainingError(
            f"scikit-learn cannot fit these rows ({type(error).__name__})"
        ) from error
    update = get_parameters(estimator)
    if not all(np.isfinite(array).all() for array in update):
        raise TrainingError("the local fit did not end in finite numbers")
    present = np.isin(class_labels(study), y)
    if study.schema_.is_classification and not present.all():
        update = _keep_absent_classes(parameters, update, present, softmax=_is_softmax(estimator))
    return update


def evaluate_local(study: Study, parameters: Parameters, X: Floats, y: NDArray[Any]) -> Metrics:
    """The metrics of the model with these parameters on one participant's rows."""
    return evaluate(set_parameters(make_estimator(study), study, parameters), study, X, y)


def _fit(estimator: Any, study: Study, parameters: Parameters, X: Floats, y: NDArray[Any]) -> None:
    rows: dict[str, Any] = {"X": X, "y": y}
    if study.schema_.is_classification:
        # A stratified validation split needs every class twice.
        needed = 2 if getattr(estimator, "early_stopping", False) else 1
        X, y, weights = with_every_class(X, y, class_labels(study), at_least=needed)
        rows = {"X": X, "y": y, "sample_weight": weights}
    if study.model.estimator.startswith("SGD"):
        rows |= {"coef_init": parameters[0].copy(), "intercept_init": parameters[1].copy()}
    elif "warm_start" in estimator.get_params():
        set_parameters(estimator, study, parameters).set_params(warm_start=True)
    with warnings.catch_warnings():
        # A few local iterations a round are meant; the rounds do the rest.
        warnings.simplefilter("ignore", ConvergenceWarning)
        estimator.fit(**rows)


def _is_softmax(estimator: Any) -> bool:
    """Whether the classes are fitted together; otherwise each is fitted against the rest."""
    return type(estimator).__name__ == "LogisticRegression" and not (
        estimator.solver in ("liblinear", "newton-cholesky") or estimator.multi_class == "ovr"
    )


def _keep_absent_classes(
    before: Parameters, update: Parameters, present: NDArray[np.bool_], *, softmax: bool
) -> Parameters:
    if len(present) == 2:
        return [array.copy() for array in before]
    kept = [array.copy() for array in before]
    for old, new, result in zip(before, update, kept, strict=True):
        # A softmax is blind to what is added to all its classes. Fitting some of them moves them
        # together, away from those that are kept, so their mean is put back where it was.
        shift = new[present].mean(axis=0) - old[present].mean(axis=0) if softmax else 0.0
        result[present] = new[present] - shift
    return kept
