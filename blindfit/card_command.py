"""`models card`, as client and server share it: options, and where the card goes."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from blindfit.console import emit

if TYPE_CHECKING:
    from blindfit.manifest import Manifest


class CardFormat(StrEnum):
    """How a card is written."""

    MARKDOWN = "markdown"
    HTML = "html"


CardModelArgument = Annotated[str, typer.Argument(metavar="MODEL", help="The model's name.")]
CardVersionOption = Annotated[
    int | None, typer.Option("--version", help="The version's number [default: current].")
]
CardFormatOption = Annotated[
    CardFormat | None,
    typer.Option("--format", help="[default: html if FILE ends so, else markdown]"),
]
CardOutOption = Annotated[
    Path | None,
    typer.Option("--out", metavar="FILE", help="Write the card there, not to standard output."),
]


def emit_card(
    manifest: Manifest, card_format: CardFormat | None, out: Path | None, as_json: bool
) -> None:
    """Print the card of a manifest, or write it to ``out``.

    The caller has verified the manifest. Raises `InputError` for a file that cannot be written.
    """
    from blindfit.model_card import card_html, card_markdown

    if card_format is None:
        ending = "" if out is None else out.suffix.lower()
        card_format = CardFormat.HTML if ending in (".html", ".htm") else CardFormat.MARKDOWN
    card = card_html(manifest) if card_format is CardFormat.HTML else card_markdown(manifest)
    document = {
        "model": manifest.model,
        "version": manifest.version,
        "format": card_format.value,
        "file": None if out is None else str(out),
        "card": card if out is None else None,
    }
    if out is not None:
        _write(out, card)

    def human() -> None:
        print(card if out is None else f"the card is {out}", end="" if out is None else "\n")

    emit(document, as_json, human)


def _write(path: Path, card: str) -> None:
    from blindfit.errors import InputError
    from blindfit.files import PUBLIC, write_atomic

    try:
        write_atomic(path, card.encode(), PUBLIC)
    except OSError as error:
        raise InputError(f"cannot write {path}: {error.strerror}") from error


__all__ = [
    "CardFormat",
    "CardFormatOption",
    "CardModelArgument",
    "CardOutOption",
    "CardVersionOption",
    "emit_card",
]
