"""What a privacy statement rests on and what it leaves open, as sentences."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from blindfit.privacy_statement import DifferentialPrivacy, Origin, Secrecy

_MODEL_TELLS = (
    "The model itself: nothing bounds what its parameters, its predictions and the scores "
    "published with it tell about a single row, for example whether that row was among those that "
    "it was trained on."
)


def assumptions(
    origin: Origin, secrecy: Secrecy | None, guarantee: DifferentialPrivacy | None
) -> tuple[str, ...]:
    """Without these nothing of the statement holds."""
    if origin != "federated":
        return ()
    return (
        "Every honest participant runs Blindfit's own program, and nobody else controls its "
        "machine: a coordinator whose programs a participant's machine executes can read the rows "
        "there.",
        *(() if secrecy is None else _of_secrecy(secrecy)),
        *(() if guarantee is None else _of_noise(guarantee)),
    )


def not_covered(
    origin: Origin,
    secrecy: Secrecy | None,
    guarantee: DifferentialPrivacy | None,
    participants: int | None,
) -> tuple[str, ...]:
    """What is not claimed; ``participants`` is how many there were, if that is known."""
    if origin != "federated":
        return (_MODEL_TELLS,)
    return (
        *((_MODEL_TELLS,) if guarantee is None else _of_guarantee(guarantee)),
        _other_participants(participants),
        "Poisoning: a participant that trains on false rows, or sends an update of its choice, is "
        "not detected and can change the model."
        + ("" if secrecy is None else " Nobody can look at its update by itself."),
        "Several rounds together: each is a sum over those that finished it. If one participant is "
        "in one sum and not in the next, their difference tells about it.",
        "What is public by design: the study with its columns, bounds and classes, and how many "
        "took part. The coordinator also sees who took part in which round, and when.",
        "Other trainings on the same rows, also a repeated run of this study: what each of them "
        "tells adds up.",
    )


def _of_secrecy(secrecy: Secrecy) -> tuple[str, ...]:
    real = "All participants are real, and different from each other."
    if secrecy.pinned:
        real = (
            "The keys in the study belong to the participants that it names: each of them compared "
            "the keys before it joined."
        )
    return (
        f"{_at_most(secrecy.colluding)}.",
        real,
        "The cryptography (key agreement, signatures, encryption and secret sharing) is not "
        "broken, and the machines of honest participants have good random numbers.",
    )


def _at_most(colluding: int | None) -> str:
    if colluding is None:
        return "At least two honest participants are in every sum"
    if colluding == 0:
        return "No participant sides with the coordinator"
    few = "one participant sides" if colluding == 1 else f"{colluding} participants side"
    return f"No more than {few} with the coordinator"


def _of_noise(guarantee: DifferentialPrivacy) -> tuple[str, ...]:
    units = "rows" if guarantee.unit == "row" else "participants"
    return (
        f"In every round, at least {guarantee.honest} of the participants that finish it bound "
        "what they send and add noise as agreed, and keep their noise to themselves.",
        f"An honest participant answers {guarantee.rounds} rounds of this study and no more.",
        f"Delta is far below one divided by the number of {units}; otherwise it says little.",
    )


def _of_guarantee(guarantee: DifferentialPrivacy) -> tuple[str, ...]:
    metrics = (
        "The metrics of the rounds (numbers of rows, losses and scores): they are sums without "
        "noise, and epsilon and delta do not cover them."
    )
    several = "Several participants together: for k of them epsilon is k times as large."
    if guarantee.unit == "row":
        several = (
            "Persons with several rows, and participants as a whole: the guarantee is for a single "
            "row. For k rows together epsilon is k times as large, and delta grows even more."
        )
    return (
        *(() if guarantee.noisy_metrics else (metrics,)),
        several,
        "Scores that the publisher may have measured on labelled rows afterwards: they carry no "
        "noise, and tell about those rows.",
    )


def _other_participants(participants: int | None) -> str:
    told = (
        "What participants learn: each sees the model of every round and knows its own part of it"
    )
    if participants == 2:
        return f"{told}. With two participants, the rest is what the other one sent."
    return f"{told}. The rest is the sum of what the others sent."


__all__ = ["assumptions", "not_covered"]
