"""Who masks with whom: everybody with everybody, or with a few on a ring of many.

Up to 100 participants the graph is complete, as in Bonawitz et al. 2017. Beyond, it is a Harary
graph on a ring in random order (Bell et al. 2020, section 3): everybody has the ``degree`` nearest
on the ring as neighbours. The order follows from the study alone, so that a coordinator cannot
choose it in a round. The degree is the least for which, with a tenth of the participants colluding
and as many dropping out as the study's threshold allows,

- except with probability 2^-40, nobody's colluding neighbours reach the share threshold (their
  number is hypergeometric: Bell et al. 2020, definition of a "good" graph, property 1),
- except with probability 2^-40, what is left of the ring hangs together (property 2): a gap needs
  degree/2 positions in a row that are colluding or gone,
- except with probability 2^-30, enough of everybody's neighbours are left (property 3).

Also, two share thresholds are more than a participant's holders and its colluding neighbours: so
that no coordinator can have one part of them reveal its self mask, and another its mask key (the
condition of Bonawitz et al. 2017, section 6.2, for each neighbourhood).
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property, lru_cache
from math import comb

COMPLETE_UP_TO = 100  # participants
COLLUDING = 10  # one in ten
_SECURITY_BITS = 40
_CORRECTNESS_BITS = 30


@dataclass(frozen=True)
class Topology:
    """``ring`` are the indices of ``size`` participants in ring order.

    ``share_threshold`` of a participant's holders can reconstruct what it shared out.
    """

    ring: tuple[int, ...]
    degree: int
    share_threshold: int

    @property
    def size(self) -> int:
        """How many participants the study knows."""
        return len(self.ring)

    @property
    def is_complete(self) -> bool:
        """Whether everybody is everybody's neighbour."""
        return self.degree == self.size - 1

    def neighbours(self, index: int) -> tuple[int, ...]:
        """The indices that ``index`` masks with, sorted."""
        if self.is_complete:
            return tuple(other for other in range(self.size) if other != index)
        place, half = self._places[index], self.degree // 2
        steps = [step for step in range(-half, half + 1) if step]
        return tuple(sorted(self.ring[(place + step) % self.size] for step in steps))

    @cached_property
    def _places(self) -> dict[int, int]:
        return {index: place for place, index in enumerate(self.ring)}

    def holders(self, index: int) -> tuple[int, ...]:
        """Who gets a share of what ``index`` shares out, sorted: itself and its neighbours."""
        return tuple(sorted((index, *self.neighbours(index))))


def topology(study_digest: str, size: int, threshold: int) -> Topology:
    """The graph for ``size`` participants of whom ``threshold`` must survive a round."""
    if size <= COMPLETE_UP_TO:
        return Topology(tuple(range(size)), size - 1, threshold)
    degree, share_threshold = sparse_degree(size, threshold)
    if degree == size - 1:
        return Topology(tuple(range(size)), degree, threshold)
    return Topology(_ring(study_digest, size), degree, share_threshold)


def _ring(study_digest: str, size: int) -> tuple[int, ...]:
    def rank(index: int) -> bytes:
        name = f"blindfit ring v1\n{study_digest}\n{index}"
        return hashlib.sha256(name.encode()).digest()

    return tuple(sorted(range(size), key=rank))


@lru_cache(maxsize=8)
def sparse_degree(size: int, threshold: int) -> tuple[int, int]:
    """Degree and share threshold; whole numbers throughout, so that all parties get the same."""
    colluding, left = size // COLLUDING, threshold
    for degree in range(2, size - 1, 2):
        most_colluding = _share_threshold(size, colluding, degree) - 1
        share_threshold = max(most_colluding + 1, (degree + 1 + most_colluding) // 2 + 1)
        if (
            share_threshold <= degree
            and _hangs_together(size, colluding + size - left, degree)
            and _enough_left(size, left, degree, share_threshold)
        ):
            return degree, share_threshold
    return size - 1, threshold


def _share_threshold(size: int, colluding: int, degree: int) -> int:
    """The least number that colluding neighbours reach with probability at most 2^-40 / size."""
    total = comb(size - 1, degree) >> _SECURITY_BITS
    tail, reached = 0, degree + 1
    while reached > 0:
        tail += _ways(size - 1, colluding, degree, reached - 1) * size
        if tail > total:
            break
        reached -= 1
    return reached


def _enough_left(size: int, left: int, degree: int, share_threshold: int) -> bool:
    few = sum(_ways(size - 1, left - 1, degree, count) for count in range(share_threshold))
    return few * size << _CORRECTNESS_BITS <= comb(size - 1, degree)


def _hangs_together(size: int, away: int, degree: int) -> bool:
    # Places in a row that are all away: at most (away / size)^run, from each of size places.
    run = degree // 2
    return bool(size * away**run << _SECURITY_BITS <= size**run)


def _ways(size: int, marked: int, drawn: int, hit: int) -> int:
    """How many ways there are to draw ``drawn`` of ``size`` with ``hit`` of the ``marked``."""
    if hit > marked or drawn - hit > size - marked:
        return 0
    return comb(marked, hit) * comb(size - marked, drawn - hit)


__all__ = ["COLLUDING", "COMPLETE_UP_TO", "Topology", "sparse_degree", "topology"]
