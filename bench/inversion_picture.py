"""A PNG of small grey images, in titled rows."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

_TITLE_SHARE = 0.34  # of the width
_INCHES, _DPI = 9.0, 110
_INK = "#1d2733"


def draw_rows(rows: Mapping[str, NDArray[np.float64]], path: Path) -> None:
    """Square images (count, pixels) in a row for each title; the darkest pixel of each is 1."""
    most = max(len(images) for images in rows.values())
    cell = _INCHES * (1 - _TITLE_SHARE) / most
    figure = Figure(figsize=(_INCHES, cell * len(rows)), dpi=_DPI, facecolor="white")
    for row, (title, images) in enumerate(rows.items()):
        bottom = 1 - (row + 1) / len(rows)
        figure.text(
            0.012,
            bottom + 0.5 / len(rows),
            title,
            va="center",
            fontsize=10.5,
            color=_INK,
            linespacing=1.35,
        )
        for column, image in enumerate(images):
            width = (1 - _TITLE_SHARE) / most
            left = _TITLE_SHARE + column * width
            _draw_image(figure, image, (left, bottom, width, 1 / len(rows)))
    figure.savefig(path)


def _draw_image(
    figure: Figure, image: NDArray[np.float64], place: tuple[float, float, float, float]
) -> None:
    left, bottom, width, height = place
    margin = 0.06
    axes = figure.add_axes(
        (
            left + margin * width,
            bottom + margin * height,
            (1 - 2 * margin) * width,
            (1 - 2 * margin) * height,
        )
    )
    side = round(len(image) ** 0.5)
    axes.imshow(image.reshape(side, side), cmap="gray_r", vmin=0, vmax=1)
    axes.set_xticks([])
    axes.set_yticks([])
    for spine in axes.spines.values():
        spine.set(color="#c9d3d9", linewidth=0.8)


__all__ = ["draw_rows"]
