"""What holds of a training's privacy, as sentences: plain English, no more than the facts carry."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from blindfit.privacy_statement import DifferentialPrivacy, Origin, Secrecy

_CURIOUS = "a coordinator that follows the rules but tries to learn what it can"
_WITHOUT_FEDERATION: dict[str, str] = {
    "local": "The model was trained in one place, by whoever holds the rows. No federation took "
    "part, and nothing is claimed about the privacy of these rows.",
    "imported": "The model was trained elsewhere, and its training left no record here. Nothing is "
    "known, and nothing is claimed, about whose rows it was trained on and how private they "
    "stayed, whatever the study says about privacy.",
}


def summary(
    origin: Origin,
    secrecy: Secrecy | None,
    guarantee: DifferentialPrivacy | None,
    participants: int | None,
) -> tuple[str, ...]:
    """Who learned what, against whom that holds, and how differential privacy bounds the rest.

    ``participants`` is how many there were, if that is known.
    """
    if origin != "federated":
        return (_WITHOUT_FEDERATION[origin],)
    against = () if secrecy is None else (_against(secrecy, participants),)
    learned = _updates(guarantee) if secrecy is None else _sums(secrecy, guarantee)
    return (learned, *against, *_differential_privacy(guarantee))


def _sums(secrecy: Secrecy, guarantee: DifferentialPrivacy | None) -> str:
    least = "" if secrecy.threshold is None else f", at least {secrecy.threshold} of them"
    noisy = "" if guarantee is None else "noisy "
    metrics = "noisy " if guarantee is not None and guarantee.noisy_metrics else ""
    told = "rows, losses and scores"
    if guarantee is not None and guarantee.unit == "participant" and guarantee.noisy_metrics:
        told = "scores"  # nothing else is sent then
    return (
        f"Rows never left their participant. Of each round the coordinator learned the {noisy}sum "
        f"of the updates and the {metrics}sum of the metrics ({told}) over the "
        f"participants that finished the round{least}, and which these were. It did not learn what "
        "any one of them sent."
    )


def _updates(guarantee: DifferentialPrivacy | None) -> str:
    after = ". An update is not a row, but rows can leak through it"
    if guarantee is not None:
        after = ", with the noise that the participant had added to it"
    return (
        "Rows never left their participant. Secure aggregation was off: in each round the "
        f"coordinator learned every participant's own metrics and its update{after}."
    )


def _against(secrecy: Secrecy, participants: int | None) -> str:
    if secrecy.coordinator == "honest-but-curious":
        return f"This holds against {_CURIOUS}, {_even_if(secrecy.colluding)}.{_invented(secrecy)}"
    more = ""
    if secrecy.colluding_if_curious != secrecy.colluding:
        more = f" Against {_CURIOUS} it holds {_even_if(secrecy.colluding_if_curious)}."
    return (
        "This holds against a coordinator that breaks the rules in any way, "
        f"{_even_if(secrecy.colluding)}.{more} The study names all {participants} participants "
        "with their keys, so the coordinator cannot invent any."
    )


def _invented(secrecy: Secrecy) -> str:
    if secrecy.pinned:
        return ""
    return (
        " The study does not name its participants, so the coordinator says who they are. One that "
        "breaks the rules could invent participants, and so see what a real one sent."
    )


def _even_if(colluding: int | None) -> str:
    if colluding is None:
        return "as long as at least two honest participants are in every sum"
    if colluding == 0:
        return "but not if any participant sides with it"
    few = "one participant sides" if colluding == 1 else f"{colluding} participants side"
    return f"even if {few} with it"


def _differential_privacy(guarantee: DifferentialPrivacy | None) -> tuple[str, ...]:
    if guarantee is None:
        return ("There is no differential privacy: nobody added noise to what was learned.",)
    row = guarantee.unit == "row"
    unit = "one row of one participant" if row else "one participant with all its rows"
    more = "one row more or less at one participant" if row else "one participant more or less"
    covered = "updates and of the metrics" if guarantee.noisy_metrics else "updates"
    bounded = "adds to the gradient" if row else "changes in the model"
    rounds = "1 round is" if guarantee.rounds == 1 else f"{guarantee.rounds} rounds are"
    return (
        f"Differential privacy for {unit}: epsilon {guarantee.epsilon:g}, delta "
        f"{guarantee.delta:g}. It covers the sums of the {covered} of all rounds, and the model.",
        f"It compares two trainings that differ by {more} (added or removed). Whatever comes out "
        f"is at most {likelihood_factor(guarantee.epsilon)} times (e to the power of epsilon) as "
        "likely in the one as in the other, but for a remaining probability of delta.",
        f"What a {guarantee.unit} {bounded} of a round is bounded (L2 norm at most "
        f"{guarantee.clip:g}). The participants add {guarantee.mechanism}, so that "
        f"{_enough(guarantee)}; {rounds} accounted for.",
    )


def likelihood_factor(epsilon: float) -> str:
    """e to the power of ``epsilon``, for people."""
    factor = math.exp(min(epsilon, 700.0))  # beyond, no float holds it
    return f"{factor:,.0f}" if 100 <= factor < 1e9 else f"{factor:.3g}"


def _enough(guarantee: DifferentialPrivacy) -> str:
    if guarantee.honest == 1:
        return "the noise of one honest participant in a round is enough"
    return (
        f"the noise of {guarantee.honest} honest participants in a round is enough, even if all "
        "others tell theirs"
    )


__all__ = ["likelihood_factor", "summary"]
