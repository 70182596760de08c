"""A progress bar for rows: live on a terminal, a line every tenth otherwise."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from blindfit.console import say


@contextmanager
def row_progress(total: int) -> Iterator[Callable[[int], None]]:
    """Gives a function to call with each finished row; writes to standard error."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield _lines(total)
        return
    columns = (
        TextColumn("encrypted predictions"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console) as progress:
        task = progress.add_task("rows", total=total)
        yield lambda index: progress.advance(task)


def _lines(total: int) -> Callable[[int], None]:
    step = max(1, total // 10)
    finished = 0

    def on_row(index: int) -> None:
        nonlocal finished
        del index
        finished += 1
        if finished % step == 0 or finished == total:
            say(f"{finished} of {total} rows")

    return on_row
