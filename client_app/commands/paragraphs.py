"""Text for people, as wide as their terminal."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import TextIO

from blindfit.console import printable

_NARROWEST, _WIDEST = 40, 100  # columns


def print_paragraphs(paragraphs: Iterable[str], file: TextIO | None = None) -> None:
    """Each with a blank line after it, on standard error unless ``file`` is given."""
    import shutil
    import textwrap

    width = min(_WIDEST, max(_NARROWEST, shutil.get_terminal_size((_WIDEST, 24)).columns))
    for paragraph in paragraphs:
        text = textwrap.fill(paragraph, width)
        print(printable(text) + "\n", file=file or sys.stderr, flush=True)


__all__ = ["print_paragraphs"]
