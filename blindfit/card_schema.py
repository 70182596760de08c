"""A schema in a few lines: columns that differ in their number only are one line."""

from __future__ import annotations

import re
from dataclasses import dataclass

from blindfit.card_text import clean, listed, plural
from blindfit.schema import CategoryFeature, Feature, NumberFeature, Schema

_MOST_LINES = 40
_MOST_VALUES = 20
_NUMBERED = re.compile(r"(.*?)(\d{1,9})(\D*)", re.DOTALL)


@dataclass(frozen=True)
class Columns:
    """``count`` columns called ``name`` (or from the first to the last), and what they hold."""

    name: str
    count: int
    holds: str


def columns_of(schema: Schema) -> tuple[list[Columns], int]:
    """The lines, and how many columns are in the lines that were left out."""
    runs: list[tuple[list[str], Feature]] = []
    for name, feature in schema.columns():
        if runs and _alike(runs[-1][1], feature) and _follows(runs[-1][0][-1], name):
            runs[-1][0].append(name)
        else:
            runs.append(([name], feature))
    left_out = sum(len(names) for names, _ in runs[_MOST_LINES:])
    return [_line(names, feature) for names, feature in runs[:_MOST_LINES]], left_out


def target_of(schema: Schema) -> str:
    """What the model predicts."""
    if schema.classes is not None:
        classes = listed([clean(str(label)) for label in schema.classes], _MOST_VALUES)
        return f"one of {len(schema.classes):,} classes ({classes})"
    bounds = schema.target_range
    return "a number" if bounds is None else f"a number from {bounds.min:g} to {bounds.max:g}"


def _line(names: list[str], feature: Feature) -> Columns:
    first, last = clean(names[0]), clean(names[-1])
    name = first if len(names) == 1 else f"{first} to {last}"
    return Columns(name, len(names), _holds(feature))


def _holds(feature: Feature) -> str:
    if isinstance(feature, NumberFeature):
        return f"number from {feature.min:g} to {feature.max:g}"
    if isinstance(feature, CategoryFeature):
        return f"one of {listed([clean(name) for name in feature.categories], _MOST_VALUES)}"
    return f"text, hashed into {plural(feature.buckets, 'bucket')}"


def _alike(one: Feature, other: Feature) -> bool:
    return one is other or one.model_dump(exclude={"name"}) == other.model_dump(exclude={"name"})


def _follows(one: str, other: str) -> bool:
    """Whether ``other`` is the next of a numbered series, as ``pixel8`` after ``pixel7``."""
    first, second = _NUMBERED.fullmatch(one), _NUMBERED.fullmatch(other)
    if first is None or second is None or first.group(1, 3) != second.group(1, 3):
        return False
    return int(first[2]) + 1 == int(second[2])


__all__ = ["Columns", "columns_of", "target_of"]
