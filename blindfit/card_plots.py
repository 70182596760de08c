"""The figures of a model card, as SVG. They show numbers and our own words, never a peer's text."""

from __future__ import annotations

import io
import re
from typing import TYPE_CHECKING, Any, Literal

from blindfit.card_content import Content
from blindfit.card_text import score as as_score
from blindfit.card_text import seconds, size

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_INK, _ACCENT, _SOFT, _LINE = "#1d2733", "#0b7285", "#7d8f99", "#dfe6ea"
_WIDTH = 4.6  # inches: on a telephone it is shown about as large as it is
_MOST_MARKERS = 30
_QUARTERS = (0.0, 0.25, 0.5, 0.75, 1.0)
_REFERENCES = re.compile(r'(\bid="|href="#|url\(#)')


def loss_by_round(card: Content) -> str:
    """A line, or nothing for fewer than two measured rounds."""
    return _by_round(card, "loss", "loss")


def score_by_round(card: Content) -> str:
    """Accuracy or R²; a line, or nothing for fewer than two measured rounds."""
    return _by_round(card, card.kind, _name(card))


def comparison(card: Content) -> str:
    """Bars of the float model, the quantized one and encrypted execution, on the same rows."""
    found = card.comparison
    if found is None:
        return ""
    bars = [(step.name, step.on_sample) for step in found.steps if step.on_sample is not None]
    low = min((value for _, value in bars), default=0.0)
    if not bars or abs(low) > 1e3:  # an R² so bad that a bar says nothing
        return ""
    figure = _figure(0.5 + 0.42 * len(bars), grid="x")
    axes = figure.axes[0]
    _bars(axes, [(name, value, as_score(value, card.kind)) for name, value in bars])
    axes.set_xlim(min(0.0, 1.15 * low), 1.18)
    axes.set_xlabel(f"{_name(card)}, the same {found.sample:,} rows")
    if card.kind == "accuracy":
        axes.set_xticks(_QUARTERS, [f"{100 * share:.0f}%" for share in _QUARTERS])
    return _svg(figure, "comparison", f"{_name(card)} in clear, quantized and encrypted")


def time_of_a_row(card: Content) -> str:
    """Bars of encrypting, running and decrypting; nothing where it was not measured."""
    cost = card.manifest.cost
    if cost is None:
        return ""
    parts = [("encrypt (client)", cost.encrypt), ("run (server)", cost.run)]
    parts.append(("decrypt (client)", cost.decrypt))
    figure = _figure(1.75)
    axes = figure.axes[0]
    _bars(axes, [(name, 1000 * value, seconds(value)) for name, value in parts])
    axes.set_xlim(0, 1250 * max(max(value for _, value in parts), 1e-6))
    axes.set_xlabel("milliseconds, one row")
    return _svg(figure, "time", "time of a row")


def bytes_of_a_row(card: Content) -> str:
    """Bars of what is sent and received for a row."""
    circuit = card.manifest.circuit
    parts = [("sent", circuit.input.length), ("received", circuit.output.length)]
    figure = _figure(1.35)
    axes = figure.axes[0]
    _bars(axes, [(name, float(count), size(count)) for name, count in parts])
    axes.set_xlim(0, 1.3 * max(count for _, count in parts))
    axes.set_xticks([])
    axes.set_xlabel("bytes, one row")
    return _svg(figure, "bytes", "bytes of a row")


def _name(card: Content) -> str:
    return "accuracy" if card.kind == "accuracy" else "R²"


def _by_round(card: Content, field: str, name: str) -> str:
    history = () if card.training is None else card.training.history
    points = [(line.round, getattr(line, field)) for line in history]
    points = [(number, value) for number, value in points if value is not None]
    if len(points) < 2:
        return ""
    from matplotlib.ticker import MaxNLocator, PercentFormatter

    figure = _figure(2.3, grid="y")
    axes = figure.axes[0]
    numbers, values = zip(*points, strict=True)
    marker = "o" if len(points) <= _MOST_MARKERS else ""
    axes.plot(numbers, values, marker=marker, markersize=4, color=_ACCENT, linewidth=1.6)
    axes.margins(y=0.15)
    axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    if field == "accuracy":
        axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=None))
    axes.set_xlabel("round")
    axes.set_ylabel(name)
    return _svg(figure, field, f"{name} by round")


def _figure(height: float, *, grid: Literal["x", "y"] | None = None) -> Figure:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(_WIDTH, height), layout="constrained")
    axes = figure.add_subplot()
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(_SOFT)
    axes.tick_params(colors=_INK, labelsize=9)
    axes.xaxis.label.set_color(_INK)
    axes.yaxis.label.set_color(_INK)
    if grid:
        axes.grid(axis=grid, color=_LINE, linewidth=0.8)
        axes.set_axisbelow(True)
    return figure


def _bars(axes: Any, bars: list[tuple[str, float, str]]) -> None:
    drawn = axes.barh([name for name, _, _ in bars], [v for _, v, _ in bars], 0.62, color=_ACCENT)
    axes.bar_label(drawn, [f" {label}" for _, _, label in bars], color=_INK, fontsize=9)
    axes.invert_yaxis()
    axes.spines["left"].set_visible(False)
    axes.tick_params(axis="y", length=0)


def _svg(figure: Figure, name: str, title: str) -> str:
    """The ``<svg>`` element alone: the same for the same numbers, and with ids of its own."""
    import matplotlib as mpl

    buffer = io.StringIO()
    nothing = dict.fromkeys(("Creator", "Date", "Format", "Type"))
    with mpl.rc_context({"svg.hashsalt": "blindfit", "svg.fonttype": "path"}):
        figure.savefig(buffer, format="svg", metadata=nothing)
    content = buffer.getvalue()
    content = _REFERENCES.sub(rf"\g<1>{name}-", content[content.index("<svg") :])
    return content.replace("<svg", f'<svg role="img" aria-label="{title}"', 1)


__all__ = ["bytes_of_a_row", "comparison", "loss_by_round", "score_by_round", "time_of_a_row"]
