"""What is claimed about the privacy of a training's rows, and what is not; part of the manifest.

Facts for programs, and sentences that a person can put before a data-protection officer. They
follow from the study and from who took part, and from no measurement. What is not certain is not
claimed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from blindfit import privacy_limits, privacy_sentences
from blindfit.schema import Strict
from blindfit.secagg.topology import COLLUDING, COMPLETE_UP_TO

if TYPE_CHECKING:
    from blindfit.study import Study

# imported: trained elsewhere, or published without a record of its training.
Origin = Literal["federated", "local", "imported"]


class Secrecy(Strict):
    """Secure aggregation: of each round the coordinator learns a sum, and nobody's part of it.

    ``coordinator`` is the worst behaviour that the claim allows for, ``colluding`` how many
    participants may then side with it, ``colluding_if_curious`` how many with one that follows the
    protocol. ``threshold`` of them had to finish a round. None: not known.
    """

    coordinator: Literal["honest-but-curious", "malicious"]
    pinned: bool  # the study names the participants with their keys
    threshold: int | None
    colluding: int | None
    colluding_if_curious: int | None


class DifferentialPrivacy(Strict):
    """An (epsilon, delta) guarantee for ``rounds`` rounds together.

    Neighbouring trainings differ by one ``unit``, which one has and the other has not. ``clip``
    bounds the L2 norm of what a unit contributes to a round. The noise of ``honest`` participants
    of each round is enough.
    """

    unit: Literal["row", "participant"]
    neighbours: Literal["add-or-remove"] = "add-or-remove"
    epsilon: float = Field(gt=0)
    delta: float = Field(gt=0, lt=1)
    clip: float = Field(gt=0)
    honest: int = Field(ge=1)
    rounds: int = Field(ge=1)
    noisy_metrics: bool  # the rounds' losses, scores and counts are covered too
    mechanism: str


class PrivacyStatement(Strict):
    """The claim: facts, and the same as sentences."""

    origin: Origin
    participants: int | None  # None: not known
    secrecy: Secrecy | None  # None: no secure aggregation
    differential_privacy: DifferentialPrivacy | None
    summary: tuple[str, ...]
    assumptions: tuple[str, ...]
    not_covered: tuple[str, ...]

    @property
    def secure_aggregation(self) -> bool:
        """Whether the coordinator learned sums only."""
        return self.secrecy is not None


def privacy_statement(
    study: Study,
    *,
    participants: int | None,
    origin: Origin = "federated",
    noisy_metrics: bool = True,
) -> PrivacyStatement:
    """The statement for a training of ``study``.

    ``participants`` is how many were admitted to the training (None: not known); a study that pins
    its participants says that itself. ``noisy_metrics``: where there is differential privacy, the
    metrics of the rounds are in the same noisy sum as the updates.
    """
    federated = origin == "federated"
    pinned = len(study.participants)
    known = pinned or participants
    secrecy = _secrecy(study, pinned, known) if federated else None
    guarantee = _differential_privacy(study, noisy_metrics) if federated else None
    return PrivacyStatement(
        origin=origin,
        participants=known if federated else participants,
        secrecy=secrecy,
        differential_privacy=guarantee,
        summary=privacy_sentences.summary(origin, secrecy, guarantee, known),
        assumptions=privacy_limits.assumptions(origin, secrecy, guarantee),
        not_covered=privacy_limits.not_covered(origin, secrecy, guarantee, known),
    )


def _secrecy(study: Study, pinned: int, known: int | None) -> Secrecy | None:
    if not study.privacy.secure_aggregation:
        return None
    threshold = study.privacy.threshold
    if threshold is None and known is not None:
        threshold = _default_threshold(known)
    # A coordinator that cheats could invent participants, unless the study says who they are; and
    # could tell two groups of them different things, unless each would need more than half.
    # Among many, with a few neighbours each, no more is claimed than Bell et al. prove.
    few = pinned <= COMPLETE_UP_TO
    malicious = pinned > 0 and few and threshold is not None and 2 * threshold > pinned
    curious = worst = None
    if known is not None and threshold is not None:
        curious = colluding_allowed(known, threshold, malicious=False)
        worst = colluding_allowed(known, threshold, malicious=malicious)
    return Secrecy(
        coordinator="malicious" if malicious else "honest-but-curious",
        pinned=pinned > 0,
        threshold=threshold,
        colluding=worst,
        colluding_if_curious=curious,
    )


def _default_threshold(known: int) -> int:
    # Not above: a group is made from a study, whose module imports the manifest's.
    from blindfit.secagg.group import default_threshold

    return default_threshold(known)


def colluding_allowed(known: int, threshold: int, *, malicious: bool) -> int:
    """How many of ``known`` participants may side with the coordinator.

    A sum has ``threshold`` participants or more, of whom two must be honest: or it is what one of
    them sent. A coordinator that cheats could let one part of the honest participants reveal what a
    participant masks itself with, and the other part what it masks with others; each part needs
    ``threshold`` together with the colluding ones (Bonawitz et al. 2017, section 6.2). Among many
    participants everybody has a few neighbours only, chosen so that a tenth may collude (Bell et
    al. 2020).
    """
    allowed = threshold - 2
    if malicious:
        allowed = min(allowed, 2 * threshold - known - 1)
    if known > COMPLETE_UP_TO:
        allowed = min(allowed, known // COLLUDING)
    return max(allowed, 0)


def _differential_privacy(study: Study, noisy_metrics: bool) -> DifferentialPrivacy | None:
    guarantee = study.privacy.guarantee
    if guarantee is None:
        return None
    return DifferentialPrivacy(
        unit="participant" if study.privacy.records is None else "row",
        epsilon=guarantee.epsilon,
        delta=guarantee.delta,
        clip=guarantee.clip,
        honest=guarantee.honest,
        rounds=study.federation.rounds,
        noisy_metrics=noisy_metrics,
        mechanism="distributed discrete Gaussian noise, accounted for in Rényi divergence (zCDP)",
    )


__all__ = [
    "DifferentialPrivacy",
    "Origin",
    "PrivacyStatement",
    "Secrecy",
    "colluding_allowed",
    "privacy_statement",
]
