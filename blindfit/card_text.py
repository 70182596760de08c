"""Text on a model card: a peer's words made harmless, and numbers as people read them.

Every text of a manifest is its publisher's. In HTML, Jinja escapes it; in Markdown, `markdown_text`
does. Both get it without control characters, in one line, and not endlessly long.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from blindfit.console import printable

_LONGEST = 600  # characters; a sentence of a privacy statement has about 300
# What has a meaning inside a line of CommonMark or of GitHub's dialect: code, emphasis, links,
# HTML, entities, table cells, mentions, formulas; and what makes a link of a bare address.
_INLINE = re.compile(r"[\\`*_\[\]<>&|~@$!]|(?<=[A-Za-z0-9]):(?=/)|(?<=[Ww]{3})\.")
# What makes a heading, a quotation, a list or a rule of a whole line.
_AT_START = re.compile(r"[#>+=-]|\d+[.)](?=\s|$)")


def clean(text: str) -> str:
    """``text`` in one line of printable characters, cut where it gets too long."""
    line = " ".join(printable(text[: 2 * _LONGEST]).split())
    return line if len(line) <= _LONGEST else line[: _LONGEST - 1] + "…"


def html_value(value: Any) -> Any:
    """What Jinja gets to escape."""
    ours = hasattr(value, "__html__")  # a figure, or what a macro has escaped already
    return clean(value) if isinstance(value, str) and not ours else value


def markdown_value(value: Any) -> Any:
    """A value in Markdown."""
    return markdown_text(value) if isinstance(value, str) else value


def markdown_text(text: str) -> str:
    """``text`` as Markdown that shows it literally, wherever in a line it stands."""
    escaped = _INLINE.sub(r"\\\g<0>", clean(text))
    start = _AT_START.match(escaped)
    if start is None:
        return escaped
    place = start.end() - 1  # of "12." the period: digits cannot be escaped
    return f"{escaped[:place]}\\{escaped[place:]}"


def percent(share: float) -> str:
    """0.9227 is 92.3%."""
    return f"{100 * share:.1f}%"


def score(value: float, kind: str) -> str:
    """An accuracy as a percentage, an R² as a number."""
    return percent(value) if kind == "accuracy" else number(value)


def number(value: float | None) -> str:
    """Four digits that count; a dash for what is not known."""
    if value is None:
        return "–"
    whole = isinstance(value, int) or 1000 <= abs(value) < 1e12
    return (f"{value:,.0f}" if whole else f"{value:.4g}").replace("-", "−")


def seconds(value: float) -> str:
    """A time in the unit that suits it."""
    if value < 1:
        return f"{1000 * value:.3g} ms"
    return f"{value:.3g} s" if value < 120 else f"{value / 60:,.0f} min"


def size(count: int) -> str:
    """Bytes, in units of 1024."""
    if count < 1024:
        return f"{count} bytes"
    for unit, scale in (("KiB", 10), ("MiB", 20), ("GiB", 30)):
        value = count / (1 << scale)
        if value < 1000 or unit == "GiB":
            break
    return f"{value:.3g} {unit}" if value < 1000 else f"{value:,.0f} {unit}"


def listed(items: Sequence[object], most: int) -> str:
    """The first ``most`` items, and how many more there are."""
    shown = ", ".join(str(item) for item in items[:most])
    return shown if len(items) <= most else f"{shown} and {len(items) - most:,} more"


def plural(count: int, noun: str) -> str:
    """``1 row``, ``1,437 rows``."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


__all__ = [
    "clean",
    "html_value",
    "listed",
    "markdown_text",
    "markdown_value",
    "number",
    "percent",
    "plural",
    "score",
    "seconds",
    "size",
]
