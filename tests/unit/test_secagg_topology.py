"""Who masks with whom: complete for few, sparse for many, the same for all parties."""

from __future__ import annotations

from math import comb

import numpy as np
import pytest
from scipy.stats import hypergeom

from blindfit.errors import StudyError
from blindfit.roster import make_roster
from blindfit.secagg.group import Group, default_threshold
from blindfit.secagg.topology import COLLUDING, COMPLETE_UP_TO, sparse_degree, topology

STUDY = "ab" * 32


def test_few_participants_are_everybodys_neighbours():
    graph = topology(STUDY, COMPLETE_UP_TO, 51)
    assert graph.is_complete
    assert graph.share_threshold == 51
    assert graph.neighbours(7) == tuple(i for i in range(COMPLETE_UP_TO) if i != 7)
    assert graph.holders(7) == tuple(range(COMPLETE_UP_TO))


def test_many_participants_have_few_neighbours_and_the_relation_is_mutual():
    graph = topology(STUDY, 1000, 900)
    assert not graph.is_complete
    for index in range(0, 1000, 37):
        near = graph.neighbours(index)
        assert len(set(near)) == graph.degree < 150
        assert index not in near
        assert all(index in graph.neighbours(other) for other in near)


def test_the_ring_follows_from_the_study_alone():
    assert topology(STUDY, 300, 240) == topology(STUDY, 300, 240)
    assert topology(STUDY, 300, 240).ring != topology("cd" * 32, 300, 240).ring


@pytest.mark.parametrize("size", [150, 1000, 5000])
def test_the_degree_keeps_what_it_promises(size):
    """Against an independent computation of the hypergeometric tails."""
    left = default_threshold(size)
    degree, needed = sparse_degree(size, left)
    colluding = size // COLLUDING
    reached = hypergeom.sf(needed - 1, size - 1, colluding, degree)
    assert reached * size <= 2.0**-40 * 1.001
    assert hypergeom.cdf(needed - 1, size - 1, left - 1, degree) * size <= 2.0**-30 * 1.001
    assert size * ((colluding + size - left) / size) ** (degree // 2) <= 2.0**-40
    # Two parts of a neighbourhood cannot both reach the threshold, whoever colludes with them.
    most = next(
        k for k in range(degree) if hypergeom.sf(k, size - 1, colluding, degree) * size <= 2.0**-40
    )
    assert 2 * needed > degree + 1 + most


def test_degrees_grow_like_a_logarithm():
    degrees = [sparse_degree(size, default_threshold(size))[0] for size in (1000, 10_000, 100_000)]
    steps = np.diff(degrees)
    assert 0 < steps[1] <= 1.5 * steps[0]


@pytest.mark.parametrize(("size", "threshold"), [(2, 2), (3, 2), (10, 6), (100, 51), (101, 91)])
def test_the_default_threshold_is_more_than_half(size, threshold):
    assert default_threshold(size) == threshold


def keys(count, participant_keys):
    return make_roster({f"p{i}": participant_keys[i] for i in range(count)})


@pytest.fixture(scope="module")
def participant_keys():
    from cryptography.hazmat.primitives.asymmetric import ec

    from blindfit.roster import participant_key_text

    made = [ec.generate_private_key(ec.SECP384R1()) for _ in range(4)]
    return [participant_key_text(key.public_key()) for key in made]


@pytest.mark.parametrize(
    ("size", "threshold", "message"),
    [
        (4, 2, "is not more than half of the 4 participants"),
        (3, 4, "4 participants must survive a round of 3"),
        (1, None, "1 participants must survive a round of 1"),
    ],
)
def test_a_threshold_that_protects_nobody_is_refused(
    study, participant_keys, size, threshold, message
):
    privacy = study.privacy.model_copy(update={"threshold": threshold})
    with pytest.raises(StudyError, match=message):
        Group.of(study.model_copy(update={"privacy": privacy}), keys(size, participant_keys))


def test_ways_are_those_of_the_textbook():
    from blindfit.secagg.topology import _ways

    assert sum(_ways(20, 7, 9, hit) for hit in range(10)) == comb(20, 9)
