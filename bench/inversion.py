"""Gradient inversion: training rows from what a coordinator receives of a round.

The attack of Zhu et al. 2019 (Deep Leakage from Gradients, NeurIPS) and Geiping et al. 2020
(Inverting Gradients, NeurIPS, section 4: a linear layer can be inverted without a search), made for
what `client_app.training` sends. ``python -m bench.inversion`` draws docs/gradient-inversion.png.

A softmax model that starts from zeros gives each of K classes the probability 1/K. So the first
step of a fit to n rows, one of each of n classes, moves the coefficients of class k by

    W_k = s * (x_k - n/K * m)      with m the mean of the rows, and a step s that nobody tells.

`client_app.training` moves the mean of these classes back to where it was, and leaves the others:

    W_k = s * (x_k - m).

What is left to guess is m. Each pixel is blank in some of a few digits: the least W_k of that pixel
is -s * m, and what is above it is the image. Fits that go on until they converge end at weighted
sums of the rows too (their dual form), and the same attack works on them.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bench.inversion_picture import draw_rows
from bench.inversion_scene import VICTIM, Floats, Indices, deal, deal_lone, digits, watch
from blindfit.console import say

PICTURE = Path("docs") / "gradient-inversion.png"
_PARTICIPANTS, _SEED = 10, 1
_OTHERS_ROWS = 100


def moved_classes(coefficients: Floats) -> Indices:
    """The classes that a participant has rows of, from its readable update of the first round."""
    return np.flatnonzero(np.abs(coefficients).max(axis=1))


def invert(coefficients: Floats, classes: NDArray[np.int64]) -> Floats:
    """A row (width,) for each of ``classes`` from coefficients (all classes, width)."""
    moved = coefficients[classes]
    rows: Floats = moved - moved.min(axis=0)
    return np.asarray(rows / rows.max(), np.float64)


def invert_lone(mean: Floats, label: int, public_mean: Floats) -> Floats:
    """The row of a class of which there is only one, from the mean over participants (K, width).

    The others leave this class alone: so its coefficients are those of the one that has the row,
    made small. ``public_mean`` stands for the mean of that one's rows; the scale follows from how
    dark a pixel can be.
    """
    moved = mean[label]
    scales = np.linspace(0.0, 3.0, 3000)[1:] / np.abs(moved).max()
    darkest = (scales[:, np.newaxis] * moved + public_mean).max(axis=1)
    scale = scales[np.abs(darkest - 1.0).argmin()]
    return np.asarray(np.clip(scale * moved + public_mean, 0.0, 1.0), np.float64)


def public_mean(used: Indices) -> Floats:
    """The mean of digits that no participant has, as anybody could take it from elsewhere."""
    X, _ = digits()
    return np.asarray(np.delete(X, used, axis=0).mean(axis=0), np.float64)


def likeness(recovered: Floats, rows: Floats) -> Floats:
    """Pearson's correlation of each recovered row with the true one."""
    pairs = zip(recovered, rows, strict=True)
    return np.array([np.corrcoef(one, other)[0, 1] for one, other in pairs])


def recognized(recovered: Floats, indices: Indices) -> NDArray[np.bool_]:
    """Whether each recovered row is more like the true one than like any other of all digits."""
    X, _ = digits()
    alike = np.corrcoef(np.vstack([recovered, X]))[: len(recovered), len(recovered) :]
    return np.asarray(alike.argmax(axis=1) == indices)


def main() -> None:
    """Attack one participant of ten in every way; print how well it went, and draw it."""
    parts, (X, y) = deal(_PARTICIPANTS, _SEED), digits()
    victim = parts[VICTIM]
    with tempfile.TemporaryDirectory() as folder:
        readable = watch(Path(folder) / "readable", parts, secure=False)
        secure = watch(Path(folder) / "secure", parts, secure=True)
        _attack_lone(Path(folder) / "lone")
    plain = readable.coefficients(readable.inputs[0])
    rows = {
        f"{len(victim)} rows of one participant\n(they never leave it)": X[victim],
        "Recovered from its update,\nwithout secure aggregation": invert(
            plain, moved_classes(plain)
        ),
        "Recovered from its masked update,\nwhich is what the coordinator gets": invert(
            secure.coefficients(secure.inputs[0]), y[victim]
        ),
        f"Recovered from the sum of {_PARTICIPANTS}\nparticipants, which it learns": invert(
            secure.mean, y[victim]
        ),
    }
    for title, recovered in list(rows.items())[1:]:
        _tell(title.replace("\n", " "), recovered, victim)
    draw_rows(rows, PICTURE)
    print(f"written to {PICTURE}")


def _attack_lone(folder: Path) -> None:
    parts, label = deal_lone(_PARTICIPANTS, _OTHERS_ROWS, _SEED)
    _, y = digits()
    seen = watch(folder, parts, secure=True)
    mean = public_mean(np.concatenate(list(parts.values())))
    row = parts[VICTIM][y[parts[VICTIM]] == label]
    _tell(
        f"The only row of its class, from the sum of {_PARTICIPANTS} participants, the others with "
        f"{_OTHERS_ROWS} rows each",
        invert_lone(seen.mean, label, mean)[np.newaxis],
        row,
    )


def _tell(title: str, recovered: Floats, indices: Indices) -> None:
    X, _ = digits()
    alike, found = likeness(recovered, X[indices]), recognized(recovered, indices)
    say(
        f"{title}: correlation {alike.mean():.2f} ({alike.min():.2f} to {alike.max():.2f}), "
        f"{found.sum()} of {len(found)} recognized among {len(X):,}"
    )


if __name__ == "__main__":
    main()
