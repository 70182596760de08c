"""Estimators from studies, their parameters as arrays, and their metrics."""

from __future__ import annotations

import json
import sys
import zipfile
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression, SGDClassifier
from sklearn.metrics import hinge_loss, log_loss, mean_gamma_deviance, r2_score
from sklearn.svm import LinearSVC

from blindfit.errors import InputError, StudyError, UpdateError
from blindfit.estimators import (
    get_parameters,
    initial_parameters,
    make_estimator,
    parameter_shapes,
    set_parameters,
    with_every_class,
)
from blindfit.metrics import Metrics, evaluate
from blindfit.model_file import read_model, write_model
from blindfit.study import CLASSIFIERS, EstimatorName, Study

NAMES = get_args(EstimatorName)


def study(
    name: str, params: dict[str, Any] | None = None, classes: tuple[Any, ...] = (0, 1, 2), low=1.0
) -> Study:
    schema: dict[str, Any] = {
        "target": "y",
        "features": [{"name": "x{0..4}", "kind": "number", "min": 0, "max": 1}],
    }
    if name in CLASSIFIERS:
        schema["classes"] = list(classes)
    else:
        schema["target_range"] = {"min": low, "max": 6}
    model = {"estimator": name, "params": params or {}}
    return Study.model_validate({"study": {"name": "t"}, "model": model, "schema": schema})


def rows(name: str, classes: int = 3) -> tuple[np.ndarray, np.ndarray]:
    X = np.random.default_rng(0).random((200, 5))
    if name in CLASSIFIERS:
        return X, np.minimum((X[:, 0] > 0.5).astype(int) + (X[:, 1] > 0.5), classes - 1)
    return X, 1 + X @ np.array([1, 2, 0, 0.5, 0.3])


@pytest.mark.parametrize("classes", [(0, 1), (0, 1, 2)])
@pytest.mark.parametrize("name", NAMES)
def test_parameters_have_the_studys_shapes_and_rebuild_the_model(
    name: str, classes: tuple[int, ...]
) -> None:
    contract = study(name, classes=classes)
    X, y = rows(name, len(classes))
    fitted = make_estimator(contract).fit(X, y)

    parameters = get_parameters(fitted)
    rebuilt = set_parameters(make_estimator(contract), contract, parameters)

    assert [array.shape for array in parameters] == parameter_shapes(contract)
    assert [array.shape for array in initial_parameters(contract)] == parameter_shapes(contract)
    np.testing.assert_array_equal(rebuilt.predict(X), fitted.predict(X))


@pytest.mark.parametrize("name", NAMES)
def test_a_model_survives_its_file(name: str, tmp_path: Path) -> None:
    contract = study(name)
    X, y = rows(name)
    parameters = get_parameters(make_estimator(contract).fit(X, y))
    model = set_parameters(make_estimator(contract), contract, parameters)

    write_model(tmp_path / "model.skops", model)

    np.testing.assert_array_equal(read_model(tmp_path / "model.skops").predict(X), model.predict(X))


def test_a_file_with_an_untrusted_type_is_not_constructed(tmp_path: Path) -> None:
    write_model(tmp_path / "model.skops", {"surprise": Path("x")})
    with pytest.raises(InputError, match="not trusted"):
        read_model(tmp_path / "model.skops")


@pytest.mark.parametrize("module", ["this", "sklearnx", "builtins_", ".numpy", "", 7, None])
def test_a_file_cannot_have_a_module_imported(module: Any, tmp_path: Path) -> None:
    leaf = {"__class__": "tuple", "__module__": "builtins", "__loader__": "TupleNode"}
    node = {"__class__": "s", "__module__": module, "__loader__": "SGDNode"}
    node |= {"content": leaf | {"content": []}, "__reduce__": {"args": leaf | {"content": []}}}
    outer = leaf | {"content": [node], "protocol": 0, "_skops_version": "0.5.0"}
    with zipfile.ZipFile(tmp_path / "model.skops", "w") as archive:
        archive.writestr("schema.json", json.dumps(outer))
    with pytest.raises(InputError, match="types that are not trusted: from"):
        read_model(tmp_path / "model.skops")
    assert "this" not in sys.modules


@pytest.mark.parametrize("schema", ["[" * 100_000, "[]", '{"__loader__": "ObjectNode"}', "\x00"])
def test_a_damaged_schema_is_an_input_error(schema: str, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "model.skops", "w") as archive:
        archive.writestr("schema.json", schema)
    with pytest.raises(InputError, match="is not a skops model"):
        read_model(tmp_path / "model.skops")


def test_every_hyperparameter_reaches_the_estimator() -> None:
    made = make_estimator(study("LogisticRegression", {"C": 0.5, "max_iter": 7, "solver": "saga"}))
    assert (made.C, made.max_iter, made.solver) == (0.5, 7, "saga")


def test_none_and_class_weights_can_be_written_in_toml() -> None:
    params = {"penalty": "none", "class_weight": {"0": 2.0, "1": 1, "2": 1}}
    made = make_estimator(study("LogisticRegression", params))
    assert made.penalty is None
    assert made.class_weight == {0: 2.0, 1: 1, 2: 1}


@pytest.mark.parametrize(
    ("name", "params", "message"),
    [
        ("LogisticRegression", {"max_iterations": 3}, r"model\.params\.max_iterations: .*max_iter"),
        ("LogisticRegression", {"C": -1}, r"model\.params\.C: .*float in the range \(0"),
        ("LogisticRegression", {"penalty": "l1"}, r"model\.params: .*'l2' or None"),
        ("LinearSVC", {"penalty": "l1", "dual": True}, r"model\.params: .*not supported"),
        ("Ridge", {"alpha": "x"}, r"model\.params\.alpha: "),
    ],
)
def test_a_wrong_hyperparameter_is_named(name: str, params: dict[str, Any], message: str) -> None:
    with pytest.raises(StudyError, match=message):
        make_estimator(study(name, params))


def test_a_target_range_that_the_loss_does_not_allow_is_named() -> None:
    with pytest.raises(StudyError, match=r"schema\.target_range.*GammaRegressor"):
        make_estimator(study("GammaRegressor", low=0.0))


def test_parameters_of_another_shape_are_refused_rather_than_broadcast() -> None:
    contract = study("LogisticRegression")
    with pytest.raises(UpdateError, match="shapes"):
        set_parameters(make_estimator(contract), contract, [np.zeros((1, 5)), np.zeros(3)])


@pytest.mark.parametrize(
    ("estimator", "tolerance"),
    [
        (LogisticRegression(max_iter=2000, tol=1e-10), 1e-4),
        (LogisticRegression(solver="liblinear", tol=1e-10, max_iter=2000), 1e-6),
        (LinearSVC(tol=1e-10, max_iter=100_000, random_state=0), 1e-6),
    ],
)
def test_phantom_rows_add_a_class_and_leave_the_objective_as_it_was(
    estimator: Any, tolerance: float
) -> None:
    X, y = rows("LogisticRegression")
    alone = get_parameters(estimator.fit(X, y))

    padded_X, padded_y, weights = with_every_class(X, y, np.arange(4))
    padded = get_parameters(estimator.fit(padded_X, padded_y, sample_weight=weights))

    assert padded[0].shape == (4, 5)
    np.testing.assert_allclose(padded[0][:3], alone[0], atol=tolerance)


def test_phantom_rows_give_every_class_as_often_as_asked() -> None:
    X, y = rows("SGDClassifier")
    padded_X, padded_y, weights = with_every_class(X, y, np.arange(4), at_least=2)
    assert len(padded_X) == len(padded_y) == len(weights) == 202
    SGDClassifier(early_stopping=True, random_state=0).fit(
        padded_X, padded_y, sample_weight=weights
    )


@pytest.mark.parametrize("classes", [2, 3])
def test_classification_loss_is_scikit_learns(classes: int) -> None:
    labels = tuple(range(classes))
    X, y = rows("LinearSVC", classes)
    svm = study("LinearSVC", classes=labels)
    fitted = make_estimator(svm).fit(X, y)
    metrics = evaluate(fitted, svm, X, y)
    assert metrics.mean_loss() == pytest.approx(hinge_loss(y, fitted.decision_function(X)))
    assert metrics.accuracy() == pytest.approx(fitted.score(X, y))

    logistic = study("LogisticRegression", classes=labels)
    model = make_estimator(logistic).fit(X, y)
    expected = log_loss(y, model.predict_proba(X))
    assert evaluate(model, logistic, X, y).mean_loss() == pytest.approx(expected)


def test_a_target_sum_too_large_to_square_has_no_r2() -> None:
    assert np.isnan(Metrics(3, 1.0, squared_error=1.0, target=1e200, target_squared=1.0).r2())


def test_metrics_of_parts_add_up_to_those_of_the_whole() -> None:
    contract = study("GammaRegressor")
    X, y = rows("GammaRegressor")
    model = make_estimator(contract).fit(X, y)

    parts = sum(
        (evaluate(model, contract, X[part], y[part]) for part in (slice(50), slice(50, None))),
        start=Metrics(0, 0.0),
    )

    assert parts.rows == 200
    assert parts.mean_loss() == pytest.approx(mean_gamma_deviance(y, model.predict(X)))
    assert parts.r2() == pytest.approx(r2_score(y, model.predict(X)))
