"""A participant's own limit in plain words: what it means, and what a study takes of it."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING

from blindfit.privacy_sentences import likelihood_factor
from client_app.charges import Limit
from client_app.data_sets import DEFAULT_DATASET

if TYPE_CHECKING:
    from client_app.study_cost import StudyCost

_DIGITS = 3  # of an epsilon that is shown
_NOISE = 1e-10  # of floats, relative


def rounded_up(epsilon: float) -> str:
    """Three digits, and never less than there is: what is spent must not look as if it fitted."""
    return _rounded(epsilon * (1 - _NOISE), math.ceil)


def rounded_down(epsilon: float) -> str:
    """Three digits, and never more than there is."""
    return _rounded(epsilon * (1 + _NOISE), math.floor)


def _rounded(epsilon: float, to_whole: Callable[[float], int]) -> str:
    if epsilon <= 0:
        return "0"
    scale = 10.0 ** (_DIGITS - 1 - math.floor(math.log10(epsilon)))
    return f"{to_whole(epsilon * scale) / scale:.{_DIGITS}g}"


def limit_in_words(limit: Limit) -> list[str]:
    """Paragraphs on what a limit promises and what not."""
    return [
        "This is what it means: whatever trainings with your rows ever show to others is at most "
        f"{likelihood_factor(limit.epsilon)} times (e to the power of epsilon) as likely with any "
        f"one of your rows as without it, but for a remaining probability of {limit.delta:g} "
        "(delta). It takes for granted what each study says that its promise rests on.",
        "Each round is written down before anything of it is sent. A study that could go beyond "
        "the limit is refused before it begins, and a round that would is not answered.",
        "Studies without differential privacy are not counted, and nothing here bounds what they "
        "tell: `blindfit-client join` says which kind a study is.",
    ]


def cost_in_words(cost: StudyCost) -> str:
    """A paragraph on what a study may spend of the limit."""
    here = f", {rounded_up(cost.spent_here)} on this study" if cost.spent_here else ""
    whose = "these rows" if cost.dataset == DEFAULT_DATASET else f"the data set {cost.dataset}"
    told = (
        f"What it costs: your own limit for {whose} is epsilon {cost.limit.epsilon:g} at delta "
        f"{cost.limit.delta:g}, for all studies together. Spent so far: {rounded_up(cost.spent)}"
        f"{here}. At that delta this study may spend {rounded_up(cost.at_most)} at most, in all "
        f"its runs together; {rounded_up(cost.total)} would then be spent."
    )
    if cost.fits:
        return told
    return f"{told} THAT IS MORE THAN YOUR LIMIT: this machine will not take part."


def limit_command(limit: Limit, dataset: str) -> str:
    """What a person types to set ``limit``."""
    which = "" if dataset == DEFAULT_DATASET else f" --dataset {dataset}"
    numbers = f"--epsilon {limit.epsilon:g} --delta {limit.delta!r}"
    return f"blindfit-client budget limit {numbers}{which}"


__all__ = ["cost_in_words", "limit_command", "limit_in_words", "rounded_down", "rounded_up"]
