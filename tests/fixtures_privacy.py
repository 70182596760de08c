"""Studies with ``[privacy]``, of every estimator, and rows for them."""

from __future__ import annotations

from typing import Any

import numpy as np

from blindfit.study import CLASSIFIERS, Study

WIDTH = 4


def private_study(
    name: str,
    params: dict[str, Any] | None = None,
    *,
    classes: int = 3,
    bounds: tuple[float, float] = (1.0, 9.0),
    kind: str = "records",
    rounds: int = 20,
    max_rows: int = 1_000_000,
    width: int = WIDTH,
    **guarantee: Any,
) -> Study:
    """A study of ``width`` numbers with a guarantee of the given kind."""
    schema: dict[str, Any] = {
        "target": "y",
        "features": [{"name": f"x{{0..{width - 1}}}", "kind": "number", "min": 0, "max": 1}],
    }
    if name in CLASSIFIERS:
        schema["classes"] = list(range(classes))
    else:
        schema["target_range"] = {"min": bounds[0], "max": bounds[1]}
    given = {"epsilon": 1.0, "delta": 1e-5, "clip": 1.0, "honest": 3} | guarantee
    return Study.model_validate(
        {
            "study": {"name": "private"},
            "model": {"estimator": name, "params": params or {}},
            "federation": {"rounds": rounds},
            "privacy": {"max_rows": max_rows, kind: given},
            "schema": schema,
        }
    )


def private_rows(study: Study, n: int = 120, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Rows inside the schema, whose targets depend on them."""
    rng = np.random.default_rng(seed)
    X = rng.random((n, study.schema_.width))
    signal = X @ np.linspace(-1.0, 2.0, X.shape[1]) + 0.3 * rng.normal(size=n)
    rank = np.argsort(np.argsort(signal)) / (n - 1)
    if study.schema_.classes is not None:
        k = len(study.schema_.classes)
        return X, np.asarray(study.schema_.classes)[np.minimum((rank * k).astype(int), k - 1)]
    bounds = study.schema_.target_range
    assert bounds is not None
    return X, bounds.min + (bounds.max - bounds.min) * rank**2
