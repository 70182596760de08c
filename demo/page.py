"""The demo's findings as a page: the table, accuracy by round, where the time goes."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from demo.findings import Findings
from demo.table import lines

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_INK, _ACCENT, _SOFT = "#1d2733", "#0b7285", "#99a9b3"


def write_page(findings: Findings, path: Path) -> None:
    """Write one file with everything in it."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent), autoescape=True, undefined=StrictUndefined
    )
    page = environment.get_template("page.html.j2").render(
        lines=lines(findings),
        rounds=_svg(_accuracy_by_round(findings)),
        time=_svg(_where_the_time_goes(findings)),
        document=findings.document,
        history=findings.history,
    )
    path.write_text(page, encoding="utf-8")


def _figure(height: float) -> Figure:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.2, height), layout="constrained")
    axes = figure.add_subplot()
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(colors=_INK)
    return figure


def _accuracy_by_round(findings: Findings) -> Figure:
    figure = _figure(3.2)
    axes = figure.axes[0]
    numbers = [entry["round"] for entry in findings.history]
    axes.plot(
        numbers,
        [entry["accuracy"] for entry in findings.history],
        marker="o",
        color=_ACCENT,
        label="on the participants' own rows",
    )
    accuracy = findings.document["accuracy"]
    axes.axhline(accuracy["encrypted"], color=_INK, linewidth=1, label="test rows, encrypted")
    axes.axhline(
        accuracy["centralized"],
        color=_SOFT,
        linestyle="--",
        label="test rows, centralized training",
    )
    axes.set_xticks(numbers)
    axes.set_xlabel("round")
    axes.set_ylabel("accuracy")
    axes.margins(y=0.25)
    axes.legend(frameon=False, loc="lower right", ncols=3, fontsize="small")
    return figure


def _where_the_time_goes(findings: Findings) -> Figure:
    seconds = findings.document["seconds"]
    rest = seconds["total"] - seconds["training"] - seconds["compile"]
    parts = [
        ("training (Flower)", seconds["training"]),
        ("compiling and the gate", seconds["compile"]),
        ("start-up, keys, predicting, rotating", rest),
    ]
    figure = _figure(1.9)
    axes = figure.axes[0]
    bars = axes.barh([name for name, _ in parts], [value for _, value in parts], color=_ACCENT)
    axes.bar_label(bars, fmt=lambda value: f" {value:.0f} s", color=_INK)
    axes.invert_yaxis()
    axes.set_xlabel("seconds")
    return figure


def _svg(figure: Figure) -> str:
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None})
    content = buffer.getvalue()
    return content[content.index("<svg") :]
