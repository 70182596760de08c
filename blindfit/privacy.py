"""``[privacy]`` of a study: what the coordinator may learn, and what a model may tell of a row."""

from __future__ import annotations

from typing import Self

from pydantic import Field, model_validator

from blindfit.schema import Strict


class Guarantee(Strict):
    """An (epsilon, delta) guarantee of differential privacy for a whole study.

    ``clip`` bounds the L2 norm of what one neighbour contributes to one round; ``honest`` is how
    many of the participants that survive a round are assumed to add their share of the noise.
    """

    epsilon: float = Field(gt=0, le=100)
    delta: float = Field(gt=0, lt=0.1)
    clip: float = Field(gt=0, le=1e6)
    honest: int = Field(ge=1, le=100_000)


class RecordGuarantee(Guarantee):
    """``[privacy.records]``: the neighbour is one row more or less at one participant.

    Training is then full-batch gradient descent: a round is one step, with ``learning_rate``
    (divided by the loss's curvature) and ``momentum`` at the coordinator.
    """

    learning_rate: float = Field(default=1.5, gt=0, le=1e6)
    momentum: float = Field(default=0.85, ge=0, lt=1)


class ParticipantGuarantee(Guarantee):
    """``[privacy.participants]``: the neighbour is one participant more or less, with all rows."""


class PrivacySection(Strict):
    """``[privacy]``: secure aggregation is on unless it is turned off.

    ``threshold`` is how many participants must survive a round (None: more than half of those that
    the study knows; of more than 100, nine tenths). ``max_rows`` bounds one participant's rows,
    so that no sum can overflow.
    """

    secure_aggregation: bool = True
    threshold: int | None = Field(default=None, ge=2, le=100_000)
    max_rows: int = Field(default=1_000_000, ge=1, le=1_000_000_000)
    records: RecordGuarantee | None = None
    participants: ParticipantGuarantee | None = None

    @model_validator(mode="after")
    def _one_guarantee(self) -> Self:
        if self.records is not None and self.participants is not None:
            raise ValueError("records and participants exclude each other: choose one guarantee")
        guarantee = self.guarantee
        if guarantee is not None and not self.secure_aggregation and guarantee.honest > 1:
            raise ValueError(
                "without secure_aggregation every participant's noise has to suffice alone: "
                "set honest = 1"
            )
        threshold = self.threshold
        if threshold is not None and guarantee is not None and guarantee.honest > threshold:
            raise ValueError(
                f"honest = {guarantee.honest} participants cannot be assumed of a round that "
                f"{threshold} survive (threshold)"
            )
        return self

    @property
    def guarantee(self) -> Guarantee | None:
        """The guarantee of differential privacy, if the study gives one."""
        return self.records or self.participants


__all__ = ["Guarantee", "ParticipantGuarantee", "PrivacySection", "RecordGuarantee"]
