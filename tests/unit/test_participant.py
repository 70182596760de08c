"""A participant refuses what was not agreed, also after it was restarted."""

from __future__ import annotations

import numpy as np
import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from bench.federation import join, roster_of
from blindfit.dataset import Dataset
from blindfit.errors import IntegrityError, ProtocolError, StudyError, TrainingError
from blindfit.estimators import initial_parameters
from blindfit.federation_messages import Instruction
from blindfit.roster import Member, Roster, participant_key_text
from blindfit.secagg.round_id import RoundId
from client_app.participant import Participant
from client_app.run_memory import RunMemory

RUN, OTHER_RUN = "11" * 16, "22" * 16


@pytest.fixture
def rows(study):
    X = np.random.default_rng(0).random((20, study.schema_.width))
    return Dataset(X, np.arange(20) % 2, "")


@pytest.fixture
def joined(tmp_path, study, rows):
    return [join(tmp_path, study, name, rows) for name in ("anna", "berta", "carla")]


@pytest.fixture
def roster(joined):
    return roster_of(joined)


@pytest.fixture
def anna(joined):
    return joined[0].participant


def ask(study, number, run=RUN, purpose="fit"):
    flat = np.concatenate([array.ravel() for array in initial_parameters(study)])
    return Instruction(RoundId(study.digest, run, number), purpose, flat)


def test_a_round_is_not_done_twice_nor_one_before_it(anna, study, roster):
    anna.advertise(ask(study, 2), roster)
    for number in (1, 2):
        with pytest.raises(ProtocolError, match=f"round {number} after round 2"):
            anna.advertise(ask(study, number), roster)
    anna.advertise(ask(study, 3), roster)


def test_a_restarted_participant_remembers_the_round(tmp_path, joined, study, rows, roster):
    joined[0].participant.advertise(ask(study, 5), roster)
    memory = RunMemory(tmp_path / "anna-memory" / "run.json")
    again = Participant(study, rows, joined[0].key, memory)
    with pytest.raises(ProtocolError, match="round 5 after round 5"):
        again.advertise(ask(study, 5), roster)
    again.advertise(ask(study, 6), roster)


def test_another_run_needs_another_join(tmp_path, joined, study, rows, roster):
    anna = joined[0].participant
    anna.advertise(ask(study, 5), roster)
    with pytest.raises(ProtocolError, match="another run of this study"):
        anna.advertise(ask(study, 6, OTHER_RUN), roster)
    memory = RunMemory(tmp_path / "anna-memory" / "run.json")
    Participant(study, rows, joined[0].key, memory).advertise(ask(study, 1, OTHER_RUN), roster)


def test_other_participants_in_mid_run_are_refused(anna, study, roster):
    anna.advertise(ask(study, 1), roster)
    fewer = Roster(members=roster.members[:2])
    with pytest.raises(ProtocolError, match="other participants in mid-run"):
        anna.advertise(ask(study, 2), fewer)


def test_a_study_that_names_its_participants_takes_no_others(tmp_path, study, rows, joined, roster):
    pinned = study.model_copy(update={"participants": roster.members})
    anna = Participant(pinned, rows, joined[0].key, RunMemory(tmp_path / "pinned.json"))
    stranger = participant_key_text(ec.generate_private_key(ec.SECP384R1()).public_key())
    invented = Roster(members=(*roster.members[:2], Member(name="carla", key=stranger)))
    with pytest.raises(ProtocolError, match="participants are not the study's"):
        anna.advertise(ask(pinned, 1), invented)
    anna.advertise(ask(pinned, 1), roster)


def test_who_is_not_on_the_list_takes_no_part(tmp_path, study, rows, roster):
    key = ec.generate_private_key(ec.SECP384R1())
    stranger = Participant(study, rows, key, RunMemory(tmp_path / "stranger.json"))
    with pytest.raises(ProtocolError, match="not in the study's list"):
        stranger.advertise(ask(study, 1), roster)


def test_a_coordinator_alone_with_one_participant_is_refused(anna, study, roster):
    with pytest.raises(StudyError, match="1 participants must survive"):
        anna.advertise(ask(study, 1), Roster(members=roster.members[:1]))


def test_a_stage_of_another_round_is_refused(anna, study, roster):
    anna.advertise(ask(study, 1), roster)
    with pytest.raises(ProtocolError, match="round 2: it was not begun here"):
        anna.share(ask(study, 2), {})


def sum_up(participants, study, roster, number, *, parameters=None):
    """Everybody advertises and shares; returns what the first one is asked and its envelopes."""
    asked = ask(study, number)
    if parameters is not None:
        asked = Instruction(asked.round_id, "fit", parameters)
    keys = {i: one.advertise(asked, roster) for i, one in enumerate(participants)}
    shared = {i: one.share(asked, keys) for i, one in enumerate(participants)}
    return asked, {i: shared[i][0] for i in shared if i}


def sum_up_next(participants, first, keys, study):
    """The others come to round 2 beside ``participants[0]``, which has sent ``keys`` for it."""
    asked = ask(study, 2)
    roster = participants[1]._known_roster()
    shown = {0: keys} | {i: one.advertise(asked, roster) for i, one in enumerate(participants) if i}
    shared = {i: one.share(asked, shown) for i, one in enumerate(participants)}
    return asked, {i: shared[i][0] for i in shared if i}


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        (np.zeros(2), "2 parameters; the study has 4"),
        (np.full(4, np.nan), "not finite"),
    ],
)
def test_parameters_that_are_none_are_refused(joined, study, roster, parameters, message):
    asked, envelopes = sum_up(
        [one.participant for one in joined], study, roster, 1, parameters=parameters
    )
    with pytest.raises(TrainingError, match=message):
        joined[0].participant.contribute(asked, envelopes)


def test_a_damaged_memory_is_an_error_and_not_a_fresh_start(tmp_path):
    (tmp_path / "run.json").write_text("{")
    with pytest.raises(IntegrityError, match="damaged"):
        RunMemory(tmp_path / "run.json")


def test_a_round_is_not_revealed_after_a_later_one_was_contributed_to(joined, study, roster):
    """Or a participant could be made to say that it revealed less than it did."""
    everybody = [one.participant for one in joined]
    first, before = sum_up(everybody, study, roster, 1)
    anna = joined[0].participant
    _, keys = anna.contribute(first, before, following=2)
    second, after = sum_up_next(everybody, first, keys, study)
    anna.contribute(second, after)
    with pytest.raises(ProtocolError, match="round 1: it was not begun here, or it is over"):
        anna.reveal(first, {})


def test_keys_for_the_next_round_say_that_this_one_may_still_be_revealed(joined, study, roster):
    everybody = [one.participant for one in joined]
    first, before = sum_up(everybody, study, roster, 1)
    _, keys = joined[0].participant.contribute(first, before, following=2)
    assert keys is not None
    assert keys.revealed == 1
    fresh = joined[1].participant.advertise(ask(study, 3), roster)
    assert fresh.revealed == 0


def test_what_was_revealed_is_never_forgotten(tmp_path):
    memory = RunMemory(tmp_path / "run.json")
    for number in (1, 2):
        memory.begin(RoundId("ab" * 32, RUN, number), "roster")
    memory.revealing(RoundId("ab" * 32, RUN, 2), 9)
    memory.revealing(RoundId("ab" * 32, RUN, 1), 9)
    assert memory.known.revealed == 2


def test_a_study_of_few_rounds_does_not_tell_many_sums(tmp_path):
    memory = RunMemory(tmp_path / "run.json")
    memory.begin(RoundId("ab" * 32, RUN, 1), "roster")
    memory.revealing(RoundId("ab" * 32, RUN, 1), 1)
    with pytest.raises(ProtocolError, match="asks for a sum after 1 sums"):
        memory.revealing(RoundId("ab" * 32, RUN, 1), 1)


def test_a_run_is_remembered_beside_others(tmp_path):
    """Or a coordinator that came back to it would find a participant that revealed nothing."""
    path = tmp_path / "run.json"
    first, other = RoundId("ab" * 32, RUN, 2), RoundId("ab" * 32, OTHER_RUN, 1)
    memory = RunMemory(path)
    memory.begin(first, "roster")
    memory.revealing(first, 9)
    RunMemory(path).begin(other, "roster")
    back = RunMemory(path)
    with pytest.raises(ProtocolError, match="round 2 after round 2"):
        back.begin(first, "roster")
    back.begin(RoundId("ab" * 32, RUN, 3), "roster")
    assert (back.known.revealed, back.known.reveals) == (2, 1)


def test_a_refusal_tells_the_coordinator_nothing_of_the_rows():
    from blindfit.errors import BudgetError
    from client_app.federation import _for_the_coordinator

    assert _for_the_coordinator(ProtocolError("round 5 after round 5")) == "round 5 after round 5"
    for own in (TrainingError("67 rows; room for 50"), BudgetError("epsilon 7.9 of 8")):
        told = _for_the_coordinator(own)
        assert not any(digit in told for digit in "0123456789")
