"""The model card of a version, as Markdown or HTML: made from its manifest and nothing else.

So what a client reads is what the publisher signed. HTML is one file: no script, no address that a
browser would ask, figures as inline SVG.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from blindfit import card_plots, card_text
from blindfit.card_content import content_of
from blindfit.manifest import Manifest


def card_markdown(manifest: Manifest) -> str:
    """The card as Markdown, with tables as GitHub reads them; without figures."""
    return _render("model_card.md.j2", manifest, card_text.markdown_value)


def card_html(manifest: Manifest) -> str:
    """The card as one HTML page, with figures."""
    return _render("model_card.html.j2", manifest, card_text.html_value, plots=card_plots)


def _render(
    template: str, manifest: Manifest, finalize: Callable[[Any], Any], **more: object
) -> str:
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=template.endswith(".html.j2"),
        finalize=finalize,  # of every value that a template prints
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {
        "number": card_text.number,
        "seconds": card_text.seconds,
        "score": card_text.score,
    }
    return environment.get_template(template).render(card=content_of(manifest), **more)


__all__ = ["card_html", "card_markdown"]
