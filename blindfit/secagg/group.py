"""The participants of a secure sum: who they are, who masks with whom, how many must be left."""

from __future__ import annotations

from dataclasses import dataclass

from blindfit.errors import StudyError
from blindfit.roster import Roster
from blindfit.secagg.topology import COMPLETE_UP_TO, Topology, topology
from blindfit.study import Study

_SPARSE_SHARE = (9, 10)  # of the participants, must survive by default where the graph is sparse


@dataclass(frozen=True)
class Group:
    """A study's participants; ``threshold`` of them must survive each stage of a round."""

    roster: Roster
    topology: Topology
    threshold: int

    @classmethod
    def of(cls, study: Study, roster: Roster) -> Group:
        """Raises `StudyError` for a threshold that protects nobody or that nobody can meet."""
        size = len(roster)
        threshold = (
            default_threshold(size)
            if study.privacy.threshold is None
            else (study.privacy.threshold)
        )
        if not 2 <= threshold <= size:
            raise StudyError(
                f"{threshold} participants must survive a round of {size} that are known",
                hint="secure aggregation needs two participants at least; see privacy.threshold",
            )
        if 2 * threshold <= size:
            raise StudyError(
                f"privacy.threshold = {threshold} is not more than half of the {size} participants",
                hint="a coordinator could tell two halves of them different things: "
                f"set it to {size // 2 + 1} or more",
            )
        guarantee = study.privacy.guarantee
        if guarantee is not None and guarantee.honest > threshold:
            raise StudyError(
                f"honest = {guarantee.honest} participants cannot be assumed of a round that "
                f"{threshold} survive",
                hint="lower honest in [privacy], or raise privacy.threshold",
            )
        return cls(roster, topology(study.digest, size, threshold), threshold)

    @property
    def size(self) -> int:
        """How many participants there are."""
        return len(self.roster)


def default_threshold(size: int) -> int:
    """More than half of ``size``; nine tenths where everybody has few neighbours only."""
    if size <= COMPLETE_UP_TO:
        return size // 2 + 1
    share, whole = _SPARSE_SHARE
    return -(-size * share // whole)


__all__ = ["Group", "default_threshold"]
