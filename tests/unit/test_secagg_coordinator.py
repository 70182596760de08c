"""A coordinator that breaks the rules: every participant refuses, with the reason, and forgets."""

from __future__ import annotations

from dataclasses import replace

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from fixtures_secagg import BINDING, Session, make_group

from blindfit.errors import ProtocolError
from blindfit.secagg.group import Group
from blindfit.secagg.statements import Advertisement
from blindfit.secagg.topology import Topology, topology

SIZE, THRESHOLD = 5, 3


@pytest.fixture
def session():
    return Session(*make_group(SIZE, THRESHOLD))


def refuse(session: Session, reason: str, act) -> None:
    """Participant 0 refuses with ``reason``, and nothing of the round is left there."""
    with pytest.raises(ProtocolError, match=reason):
        act()
    assert session.participants[0].over
    with pytest.raises(ProtocolError, match="when the round was over"):
        session.participants[0].reveal({})


def test_keys_of_an_earlier_round_are_refused(session):
    earlier = Session(session.group, session.keys, round=2).until("share")
    session.advertise()
    keys = session.sum.keys_for(0) | {1: earlier.sum.keys_for(0)[1]}
    refuse(session, "p1 did not sign for this round", lambda: session.participants[0].share(keys))


def test_exchanged_keys_are_refused(session):
    session.advertise()
    keys = session.sum.keys_for(0)
    keys[1], keys[2] = keys[2], keys[1]
    refuse(session, "did not sign for this round", lambda: session.participants[0].share(keys))


def test_keys_of_the_coordinators_own_making_are_refused(session):
    session.advertise()
    forged = Advertisement.sign(
        ec.generate_private_key(ec.SECP384R1()),
        session.round_id,
        (b"1" * 32, b"2" * 32, b"3" * 32),
        0,
    )
    keys = session.sum.keys_for(0) | {3: forged}
    refuse(session, "p3 did not sign", lambda: session.participants[0].share(keys))


def test_one_changed_byte_of_a_key_is_refused(session):
    session.advertise()
    keys = session.sum.keys_for(0)
    keys[2] = replace(keys[2], mask_key=bytes([keys[2].mask_key[0] ^ 1]) + keys[2].mask_key[1:])
    refuse(session, "p2 did not sign", lambda: session.participants[0].share(keys))


def test_an_invented_participant_is_refused(session):
    session.advertise()
    keys = session.sum.keys_for(0) | {SIZE: session.sum.keys_for(0)[1]}
    refuse(session, "1 that are no neighbours here", lambda: session.participants[0].share(keys))


def test_one_participant_in_two_places_is_refused():
    group, keys = make_group(SIZE, THRESHOLD)
    session = Session(group, keys)
    session.advertise()
    shown = session.sum.keys_for(0)
    shown[1] = Advertisement.sign(
        keys[1], session.round_id, (shown[2].cipher_key, shown[2].mask_key, shown[2].commitment), 0
    )
    refuse(session, "two participants with the same key",
           lambda: session.participants[0].share(shown))  # fmt: skip


def test_its_own_keys_must_be_among_those_it_is_shown(session):
    session.advertise()
    keys = {i: key for i, key in session.sum.keys_for(0).items() if i}
    refuse(session, "own keys were left out", lambda: session.participants[0].share(keys))


def test_too_few_keys_are_refused(session):
    session.advertise()
    keys = {i: key for i, key in session.sum.keys_for(0).items() if i < 2}
    refuse(session, "2 of this one's neighbours advertised keys; 3 must",
           lambda: session.participants[0].share(keys))  # fmt: skip


def test_exchanged_envelopes_are_refused(session):
    session.until("mask")
    envelopes = session.sum.envelopes_for(0)
    envelopes[1], envelopes[2] = envelopes[2], envelopes[1]
    refuse(session, "did not seal for this one",
           lambda: session.participants[0].mask(envelopes, session.inputs[0], BINDING))  # fmt: skip


def test_envelopes_for_somebody_else_are_refused(session):
    session.until("mask")
    envelopes = session.sum.envelopes_for(0) | {1: session.sum.envelopes_for(2)[1]}
    refuse(session, "p1 did not seal for this one",
           lambda: session.participants[0].mask(envelopes, session.inputs[0], BINDING))  # fmt: skip


def test_an_envelope_from_a_stranger_is_refused(session):
    session.until("mask")
    envelopes = session.sum.envelopes_for(0) | {SIZE + 1: b"x" * 48}
    refuse(session, "advertised no keys here",
           lambda: session.participants[0].mask(envelopes, session.inputs[0], BINDING))  # fmt: skip


def test_survivors_whose_masks_are_not_in_its_input_are_refused():
    session = Session(*make_group(SIZE, THRESHOLD), gone={"share": {4}}).until("confirm")
    refuse(session, "p4 among the survivors",
           lambda: session.participants[0].confirm(frozenset({0, 1, 4})))  # fmt: skip


def test_survivors_without_itself_are_refused(session):
    session.until("confirm")
    refuse(session, "without this participant",
           lambda: session.participants[0].confirm(frozenset({1, 2, 3})))  # fmt: skip


def test_too_few_survivors_are_refused(session):
    session.until("confirm")
    refuse(session, "2 survivors; the threshold is 3",
           lambda: session.participants[0].confirm(frozenset({0, 1})))  # fmt: skip


def test_survivors_that_nobody_knows_are_refused(session):
    session.until("confirm")
    refuse(session, "survivors that nobody knows",
           lambda: session.participants[0].confirm(frozenset({0, 1, 2, 99})))  # fmt: skip


def test_different_survivors_told_to_different_participants_are_refused(session):
    """One half is told that p4 dropped out, so that both its secrets would become known."""
    session.until("confirm")
    everybody, fewer = frozenset(range(5)), frozenset(range(4))
    signatures = {0: session.participants[0].confirm(everybody)}
    signatures[1] = session.participants[1].confirm(fewer)
    signatures[2] = session.participants[2].confirm(fewer)
    signatures[3] = session.participants[3].confirm(everybody)
    refuse(session, "p1 confirmed other survivors",
           lambda: session.participants[0].reveal(signatures))  # fmt: skip


def test_too_few_confirmations_are_refused(session):
    session.until("reveal")
    signatures = {i: s for i, s in session.sum.signatures_for(0).items() if i < 2}
    refuse(session, "2 of this one's neighbours confirmed the same survivors; 3 must",
           lambda: session.participants[0].reveal(signatures))  # fmt: skip


def test_confirmations_of_an_earlier_round_are_refused(session):
    earlier = Session(session.group, session.keys, round=2).until("reveal")
    session.until("reveal")
    refuse(session, "confirmed other survivors, or another round",
           lambda: session.participants[0].reveal(earlier.sum.signatures_for(0)))  # fmt: skip


def test_a_second_unmasking_is_refused(session):
    session.until("")
    with pytest.raises(ProtocolError, match="asked to reveal when the round was over"):
        session.participants[0].reveal(session.sum.signatures_for(0))
    with pytest.raises(ProtocolError, match="asked to confirm when the round was over"):
        session.participants[0].confirm(frozenset({0, 1, 2}))


def test_a_second_set_of_survivors_is_refused(session):
    session.until("reveal")
    refuse(session, "asked to confirm when it was time to reveal",
           lambda: session.participants[0].confirm(frozenset({0, 1, 2})))  # fmt: skip


def test_a_second_input_under_the_same_masks_is_refused(session):
    session.until("confirm")
    envelopes = session.sum.envelopes_for(0)
    refuse(session, "asked to mask when it was time to confirm",
           lambda: session.participants[0].mask(envelopes, session.inputs[0], BINDING))  # fmt: skip


def test_without_confirmations_nothing_but_self_masks_is_revealed():
    """A coordinator that hides a dropout gets that one's self mask, and never its mask key."""
    session = Session(*make_group(SIZE, THRESHOLD), gone={"mask": {4}}).until("confirm")
    revealed = session.participants[0].reveal({})
    assert set(revealed.self_seeds) == set(range(SIZE))
    assert revealed.key_seeds == {}
    refuse(session, "round was over", lambda: session.participants[0].confirm(frozenset({0, 1, 2})))


def test_who_revealed_without_confirming_leaves_too_few_to_reveal_the_other_secret():
    """Three of five must confirm a dropout; three that heard of none revealed its self mask."""
    session = Session(*make_group(SIZE, THRESHOLD)).until("confirm")
    told_nothing, told = (0, 1, 2), (3, 4)
    for index in told_nothing:
        assert 4 in session.participants[index].reveal({}).self_seeds
    fewer = frozenset({0, 1, 2, 3})
    signatures = {3: session.participants[3].confirm(fewer)}
    assert len(told) < THRESHOLD
    with pytest.raises(ProtocolError, match="1 of this one's neighbours confirmed"):
        session.participants[3].reveal(signatures)


def test_after_survivors_were_confirmed_nothing_is_revealed_without_signatures(session):
    session.until("reveal")
    refuse(session, "0 of this one's neighbours confirmed the same survivors",
           lambda: session.participants[0].reveal({}))  # fmt: skip


def test_in_a_sparse_graph_survivors_are_always_confirmed():
    group, keys = make_group(4, 3)
    sparse = Group(group.roster, Topology((2, 0, 3, 1), 2, 2), 3)
    session = Session(sparse, keys).until("confirm")
    refuse(session, "asked to reveal when it was time to confirm",
           lambda: session.participants[0].reveal({}))  # fmt: skip


def test_participants_that_were_asked_differently_do_not_unmask_each_other():
    """As when all but one get a model that makes their updates vanish."""
    session = Session(*make_group(SIZE, THRESHOLD)).until("mask")
    for i in range(SIZE):
        envelopes = session.sum.envelopes_for(i)
        binding = b"another question" if i == 0 else BINDING
        session.sum.masked(i, session.participants[i].mask(envelopes, session.inputs[i], binding))
    session.confirm()
    session.reveal()
    assert not (session.sum.total() == session.expected()).any()


def test_a_split_neighbourhood_has_no_two_majorities():
    """Half of a ring's neighbours are told of a dropout, the others are not: neither is enough."""
    graph = topology("ab" * 32, 200, 180)
    near = graph.holders(7)
    assert 2 * graph.share_threshold > len(near)


def test_what_is_revealed_is_one_kind_of_share_for_each_participant():
    session = Session(*make_group(SIZE, THRESHOLD), gone={"mask": {4}}).until("reveal")
    revealed = session.participants[0].reveal(session.sum.signatures_for(0))
    assert set(revealed.self_seeds) == {0, 1, 2, 3}
    assert set(revealed.key_seeds) == {4}
