"""What every test may use."""

from __future__ import annotations

import pytest

from blindfit.study import Study, parse_study

STUDY = """
[study]
name = "tumours"
[model]
estimator = "LogisticRegression"
params = { C = 2.0 }
[schema]
target = "malignant"
classes = [0, 1]
[[schema.features]]
name = "radius"
kind = "number"
min = 0
max = 10
[[schema.features]]
name = "side"
kind = "category"
categories = ["left", "right"]
"""


@pytest.fixture
def study_text() -> str:
    return STUDY


@pytest.fixture
def study(study_text: str) -> Study:
    return parse_study(study_text)
