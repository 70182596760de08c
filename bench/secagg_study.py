"""A study whose update has eight thousand parameters: ten classes of 799 features."""

from __future__ import annotations

from blindfit.study import Study, parse_study

WIDTH, CLASSES = 799, 10
_STUDY = """
[study]
name = "eight-thousand-weights"
[model]
estimator = "LogisticRegression"
params = {{ max_iter = 1 }}
[federation]
rounds = 5
[privacy]
secure_aggregation = {secure}
[schema]
target = "y"
classes = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]
[[schema.features]]
name = "x{{0..798}}"
kind = "number"
min = 0
max = 1
"""


def eight_thousand_weights(*, secure: bool = True) -> Study:
    """7,990 coefficients and 10 intercepts; five rounds."""
    text = _STUDY.format(secure=str(secure).lower())
    return parse_study(text, source="the study of eight thousand weights")


__all__ = ["CLASSES", "WIDTH", "eight_thousand_weights"]
