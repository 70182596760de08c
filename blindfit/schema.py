"""The public contract of the rows: features with bounds, and what is predicted.

A schema is written down before anyone looks at data. It is never derived from rows.
"""

from __future__ import annotations

import re
from collections import Counter
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

MAX_FEATURES = (
    65_536  # encoded columns; far above what a circuit can serve, far below a memory bomb
)
_RANGE = re.compile(r"\{(\d{1,9})\.\.(\d{1,9})\}")


class Strict(BaseModel):
    """Unknown keys are errors; nothing changes after construction."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Bounds(Strict):
    """A closed interval; ``min`` is below ``max``."""

    min: float
    max: float

    @model_validator(mode="after")
    def _ordered(self) -> Bounds:
        if not self.min < self.max:
            raise ValueError(f"min must be below max (got {self.min:g} and {self.max:g})")
        return self


class NumberFeature(Bounds):
    """A number between two public bounds; one encoded column."""

    name: str = Field(min_length=1)
    kind: Literal["number"]


class CategoryFeature(Strict):
    """One of a public list of categories; one encoded column each."""

    name: str = Field(min_length=1)
    kind: Literal["category"]
    categories: tuple[str, ...] = Field(min_length=2)

    @field_validator("categories", mode="before")
    @classmethod
    def _as_text(cls, value: Any) -> Any:
        return [str(item) for item in value] if isinstance(value, list | tuple) else value

    @field_validator("categories")
    @classmethod
    def _distinct(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(value)) != len(value):
            raise ValueError("categories must be distinct")
        return value


class TextFeature(Strict):
    """Free text, hashed into a fixed number of 0/1 columns (one for each bucket)."""

    name: str = Field(min_length=1)
    kind: Literal["text"]
    buckets: int = Field(ge=8, le=4096)


Feature = Annotated[NumberFeature | CategoryFeature | TextFeature, Field(discriminator="kind")]


def range_length(name: str) -> int:
    """How many columns a name stands for; raises ValueError for a range that cannot be."""
    match = _RANGE.search(name)
    if match is None:
        return 1
    first, last = int(match[1]), int(match[2])
    if not first <= last < first + MAX_FEATURES:
        raise ValueError(f"the range in {name!r} must rise and span at most {MAX_FEATURES} columns")
    return last - first + 1


def expand_range(name: str) -> list[str]:
    """``pixel{0..63}`` becomes ``pixel0`` to ``pixel63``; any other name stays itself."""
    match = _RANGE.search(name)
    if match is None:
        return [name]
    first, last = int(match[1]), int(match[2])
    return [f"{name[: match.start()]}{i}{name[match.end() :]}" for i in range(first, last + 1)]


class Schema(Strict):
    """Features in order, and a target that is a class or a number in a range."""

    target: str = Field(min_length=1)
    classes: tuple[int, ...] | tuple[str, ...] | None = None
    target_range: Bounds | None = None
    features: tuple[Feature, ...] = Field(min_length=1)

    @field_validator("classes", mode="before")
    @classmethod
    def _one_kind(cls, value: Any) -> Any:
        if value is not None and not (
            isinstance(value, list | tuple) and {type(item) for item in value} in ({int}, {str})
        ):
            raise ValueError("must be a list of whole numbers, or a list of texts, not of both")
        return value

    @field_validator("classes")
    @classmethod
    def _sorted_distinct(cls, value: tuple[Any, ...] | None) -> tuple[Any, ...] | None:
        # scikit-learn sorts its classes_, and so do we: the order is part of the model.
        if value is not None and (len(value) < 2 or len(set(value)) != len(value)):
            raise ValueError("needs at least two classes, all distinct")
        return None if value is None else tuple(sorted(value))

    @model_validator(mode="after")
    def _consistent(self) -> Schema:
        if (self.classes is None) == (self.target_range is None):
            raise ValueError(
                "needs either classes (to classify) or target_range (to predict values)"
            )
        # Counted before any name is made: a few bytes can stand for very many columns.
        if self.width > MAX_FEATURES:
            raise ValueError(f"encodes to {self.width} columns; at most {MAX_FEATURES} are allowed")
        names = [name for feature in self.features for name in expand_range(feature.name)]
        twice = [name for name, count in Counter(names).items() if count > 1]
        if twice:
            raise ValueError(f"the columns {', '.join(twice[:5])} are declared twice")
        if self.target in names:
            raise ValueError(f"the target {self.target!r} is also a feature")
        return self

    @property
    def is_classification(self) -> bool:
        """Whether the target is one of a list of classes."""
        return self.classes is not None

    def columns(self) -> list[tuple[str, NumberFeature | CategoryFeature | TextFeature]]:
        """Every input column in order, with the feature that declares it."""
        return [(name, f) for f in self.features for name in expand_range(f.name)]

    @property
    def width(self) -> int:
        """How many encoded columns a row has, which is what a circuit takes."""
        return sum(range_length(f.name) * feature_width(f) for f in self.features)


def feature_width(feature: NumberFeature | CategoryFeature | TextFeature) -> int:
    """How many encoded columns one input column becomes."""
    if isinstance(feature, CategoryFeature):
        return len(feature.categories)
    return feature.buckets if isinstance(feature, TextFeature) else 1
