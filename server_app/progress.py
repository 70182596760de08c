"""What a person sees of a training: a live table on a terminal, a line a round otherwise."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from blindfit.console import printable, say
from blindfit.events import Event

_COLUMNS = ("round", "participants", "rows", "loss", "score", "seconds", "refused")


@contextmanager
def training_progress() -> Iterator[Callable[[Event], None]]:
    """Gives a function to call with each event; writes to standard error."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield _print_line
        return
    table = _LiveTable()
    with Live(table.render(), console=console, auto_refresh=False) as live:

        def report(event: Event) -> None:
            table.take(event)
            live.update(table.render(), refresh=True)

        yield report


def describe(event: Event) -> str:
    """An event in words; empty for those that are not worth a line."""
    name = event["event"]
    if name == "starting":
        return f"starting Flower's SuperLink at {event['address']}; files are in {event['folder']}"
    if name == "listening":
        return f"registered: {', '.join(event['participants'])}"
    if name == "waiting":
        there = ", ".join(event["present"]) or "nobody yet"
        return f"waiting for at least {event['needed']} participants: {there}"
    if name == "round_started":
        return f"round {event['round']}: training at {', '.join(event['participants'])}"
    if name == "round_finished":
        return _round_line(event)
    return ""


def _round_line(event: Event) -> str:
    cells = dict(zip(_COLUMNS, _cells(event), strict=True))
    refused = f"; refused: {cells['refused']}" if cells["refused"] else ""
    return (
        f"round {cells['round']}: {cells['participants']} participants, {cells['rows']} rows, "
        f"loss {cells['loss']}, {cells['score']}, {cells['seconds']} s{refused}"
    )


def _print_line(event: Event) -> None:
    line = describe(event)
    if line:
        say(line)


def _cells(event: Event) -> list[str]:
    refused = "; ".join(f"{name}: {_line(reason)}" for name, reason in event["refused"].items())
    return [
        str(event["round"]),
        str(len(event["participants"])),
        f"{event['rows']:,}",
        _number(event["loss"]),
        _score(event),
        f"{event['seconds']:.1f}",
        refused,
    ]


def _line(text: str) -> str:
    """A peer's text in one line, so that it cannot pass for lines of ours."""
    return printable(" ".join(text.split()))


def _score(event: dict[str, Any]) -> str:
    for name, label in (("accuracy", "accuracy"), ("r2", "R²")):
        if event[name] is not None:
            return f"{label} {event[name]:.4f}"
    return "not scored yet"


def _number(value: float | None) -> str:
    return "?" if value is None else f"{value:.4f}"


class _LiveTable:
    def __init__(self) -> None:
        self._rounds: dict[int, list[str]] = {}
        self._caption = ""

    def take(self, event: Event) -> None:
        if event["event"] in ("round_aggregated", "round_finished"):
            self._rounds[event["round"]] = _cells(event)
        else:
            self._caption = describe(event)

    def render(self) -> Table:
        table = Table(*_COLUMNS, caption=Text(printable(self._caption)), caption_justify="left")
        for number in sorted(self._rounds):
            # Not strings: rich would read a peer's text as markup.
            table.add_row(*(Text(printable(cell)) for cell in self._rounds[number]))
        return table
