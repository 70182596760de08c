"""Secure sums: exact whatever drops out above the threshold, nothing at all below it."""

from __future__ import annotations

import numpy as np
import pytest
from fixtures_secagg import STAGES, Session, make_group

from blindfit.errors import ProtocolError, TrainingError, UpdateError
from blindfit.secagg.masks import from_bytes, to_bytes

SIZE, THRESHOLD = 7, 4


@pytest.fixture(scope="module")
def group():
    return make_group(SIZE, THRESHOLD)


def test_the_sum_is_that_of_the_inputs(group):
    session = Session(*group).until("")
    assert session.sum.total().tolist() == session.expected().tolist()


def test_a_masked_input_is_not_the_input(group):
    session = Session(*group).until("confirm")
    for i, words in session.received.items():
        assert not np.any(words == session.inputs[i])


@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize("gone", [{0}, {1, 4, 6}])
def test_dropouts_are_survived_at_every_stage(group, stage, gone):
    session = Session(*group, gone={stage: gone}).until("")
    assert session.sum.total().tolist() == session.expected().tolist()


def test_dropouts_at_all_stages_are_survived_together(group):
    gone = {stage: {number} for number, stage in enumerate(STAGES)}
    session = Session(*make_group(9, 5), gone=gone).until("")
    assert session.sum.total().tolist() == session.expected().tolist()


@pytest.mark.parametrize("stage", ["share", "mask", "confirm"])
def test_too_many_dropouts_make_the_participants_refuse(group, stage):
    session = Session(*group, gone={stage: {0, 1, 2, 3}})
    following = {"share": "mask", "mask": "confirm", "confirm": "reveal"}[stage]
    session.until(following)
    with pytest.raises(ProtocolError, match=f"{SIZE - 4} .*"):
        getattr(session, following)()


def test_too_few_shares_unmask_nothing(group):
    session = Session(*group, gone={"reveal": {0, 1, 2, 3}}).until("")
    with pytest.raises(TrainingError, match="cannot be removed: 3 shares; 4 are needed"):
        session.sum.total()


@pytest.mark.slow
def test_sparse_sums_are_exact_with_dropouts():
    group, keys = make_group(101, 95)
    assert not group.topology.is_complete
    gone = {"share": {3}, "mask": {50}, "confirm": {70}, "reveal": {100}}
    session = Session(group, keys, gone=gone).until("")
    assert session.sum.total().tolist() == session.expected().tolist()


def test_a_wrong_share_is_found(group):
    session = Session(*group).until("reveal")
    for i in session.left("reveal"):
        revealed = session.participants[i].reveal(session.sum.signatures_for(i))
        seeds = dict(revealed.self_seeds)
        if i == 0:
            seeds[1] = bytes(16)
        session.sum.revealed(i, seeds, revealed.key_seeds)
    with pytest.raises(TrainingError, match="wrong share of p1"):
        session.sum.total()


def test_the_coordinator_refuses_shares_that_it_did_not_ask_for(group):
    session = Session(*group, gone={"mask": {2}}).until("reveal")
    revealed = session.participants[0].reveal(session.sum.signatures_for(0))
    with pytest.raises(UpdateError, match="shares of others"):
        session.sum.revealed(0, revealed.self_seeds, {})
    with pytest.raises(UpdateError, match="another length"):
        session.sum.revealed(0, dict.fromkeys(revealed.self_seeds, b"short"), revealed.key_seeds)


def test_words_keep_their_value_on_the_way():
    words = np.array([0, 1, (1 << 64) - 1, 1 << 63], np.uint64)
    assert from_bytes(to_bytes(words), 4).tolist() == words.tolist()
    with pytest.raises(ValueError, match="24 bytes; 4 words have 32"):
        from_bytes(to_bytes(words[:3]), 4)
