"""What a person sees of a training: a live table on a terminal, a line a round otherwise."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from blindfit.console import printable, say
from blindfit.events import Event

if TYPE_CHECKING:
    from blindfit.study import Study

_UNKNOWN = "?"
_NOTES = 5  # what stays below the table of what went wrong and what was decided
_STAGES = {
    "keys": "exchanging keys",
    "shares": "sharing the secrets of the masks",
    "inputs": "waiting for inputs under masks",
    "survivors": "agreeing on whose updates are in the sum",
    "unmasking": "taking the masks off the sum",
}
_NOISY = " (so losses and scores are noisy, too, and the last model has none)"
_COLUMNS = ("round", "participants", "rows", "loss", "score", "seconds", "refused")


@contextmanager
def training_progress() -> Iterator[Callable[[Event], None]]:
    """Gives a function to call with each event; writes to standard error."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield _Lines().take
        return
    table = _LiveTable()
    with Live(table.render(), console=console, auto_refresh=False) as live:

        def report(event: Event) -> None:
            table.take(event)
            live.update(table.render(), refresh=True)

        yield report


def what_is_learned(study: Study) -> str:
    """What a training of ``study`` lets the coordinator's machine read, in a line."""
    guarantee = study.privacy.guarantee
    if not study.privacy.secure_aggregation:
        noise = f", with the noise that it added{_NOISY}" if guarantee else ""
        return (
            "warning: the study turns secure aggregation off: this machine can read every "
            f"participant's update{noise}"
        )
    noise = f", with noise in it{_NOISY}" if guarantee else ""
    return f"updates are summed under masks: this machine learns each round's sum alone{noise}"


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
    if name == "round_failed":
        return f"failed: {_line(event['reason'])}"
    if name == "kept":
        return f"early stopping: the model of round {event['round']} is kept as the best one"
    return ""


def _round_line(event: Event) -> str:
    cells = dict(zip(_COLUMNS, _cells(event), strict=True))
    rows = "" if event["rows"] is None else f"{cells['rows']} rows, "
    loss = "" if event["loss"] is None else f"loss {cells['loss']}, "
    refused = f"; refused: {cells['refused']}" if cells["refused"] else ""
    return (
        f"round {cells['round']}: {cells['participants']} participants, {rows}{loss}"
        f"{cells['score']}, {cells['seconds']} s{refused}"
    )


def _cells(event: Event) -> list[str]:
    refused = "; ".join(f"{name}: {_line(reason)}" for name, reason in event["refused"].items())
    return [
        str(event["round"]),
        str(len(event["participants"])),
        _UNKNOWN if event["rows"] is None else f"{event['rows']:,}",
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
    return "not scored"


def _number(value: float | None) -> str:
    return _UNKNOWN if value is None else f"{value:.4f}"


class _Lines:
    """A line a round, once its model is scored; at the end also for a last one that is not."""

    def __init__(self) -> None:
        self._unscored: Event | None = None

    def take(self, event: Event) -> None:
        name = event["event"]
        if name == "round_aggregated":
            self._unscored = event
        elif name == "round_finished":
            self._unscored = None
        elif name in ("kept", "finished", "failed") and self._unscored is not None:
            say(_round_line(self._unscored))
            self._unscored = None
        line = describe(event)
        if line:
            say(line)


class _LiveTable:
    """The rounds, and below them what went wrong, what goes on, and its stage."""

    def __init__(self) -> None:
        self._rounds: dict[int, list[str]] = {}
        self._notes: deque[str] = deque(maxlen=_NOTES)
        self._now, self._stage = "", ""

    def take(self, event: Event) -> None:
        name = event["event"]
        if name == "stage":
            self._stage = _STAGES.get(event["stage"], "")
            return
        if name in ("round_aggregated", "round_finished"):
            self._rounds[event["round"]] = _cells(event)
        if name == "round_finished":
            return  # the round before: the one that goes on has just measured its model
        self._now, self._stage = "", ""
        if name in ("round_failed", "kept"):
            self._notes.append(describe(event))
        else:
            self._now = describe(event)

    def render(self) -> Table:
        lines = filter(None, (*self._notes, self._now, self._stage))
        caption = Text(printable("\n".join(lines)))
        table = Table(*_COLUMNS, caption=caption, caption_justify="left")
        for number in sorted(self._rounds):
            # Not strings: rich would read a peer's text as markup.
            table.add_row(*(Text(printable(cell)) for cell in self._rounds[number]))
        return table
