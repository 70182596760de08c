"""Messages of a training: what is sent arrives, and what is not a message is refused."""

from __future__ import annotations

import numpy as np
import pytest
from flwr.app import RecordDict

from blindfit.errors import UpdateError
from blindfit.federation_messages import (
    message_of,
    read_end,
    read_instruction,
    read_next,
    read_words,
    record_of,
    write_end,
    write_instruction,
    write_next,
    write_words,
)
from blindfit.secagg import messages
from blindfit.secagg.round_id import RoundId
from blindfit.secagg.statements import Advertisement

ROUND = RoundId("ab" * 32, "cd" * 16, 3)


def test_an_instruction_survives_the_message():
    sent = [np.arange(12.0).reshape(3, 4), np.arange(3.0)]
    read = read_instruction(write_instruction(ROUND, "fit", sent))
    assert (read.round_id, read.purpose) == (ROUND, "fit")
    assert read.parameters.tolist() == [*range(12), *range(3)]


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("study", "ab", "names no study"),
        ("study", 5, "names no study"),
        ("run", "CD" * 16, "names no run"),
        ("round", 0, "names no round"),
        ("round", True, "names no round"),
        ("round", 1 << 41, "names no round"),
        ("purpose", "leak", "does not say what for"),
    ],
)
def test_an_instruction_that_is_not_as_agreed_is_refused(key, value, message):
    content = write_instruction(ROUND, "fit")
    record_of(content)[key] = value
    with pytest.raises(UpdateError, match=message):
        read_instruction(content)


@pytest.mark.parametrize("data", [b"seven b", "text", 5])
def test_parameters_that_are_not_numbers_are_refused(data):
    content = write_instruction(ROUND, "fit")
    record_of(content)["parameters"] = data
    with pytest.raises(UpdateError, match="parameters are not numbers"):
        read_instruction(content)


@pytest.mark.parametrize("number", [0, -1, True, "1", 1 << 41])
def test_a_next_round_that_is_none_is_refused(number):
    content = message_of()
    record_of(content)["next"] = number
    with pytest.raises(UpdateError, match="next round is none"):
        read_next(content)


def test_the_next_round_survives_the_message():
    assert read_next(write_next(write_instruction(ROUND, "fit"), 4)) == 4
    assert read_next(write_instruction(ROUND, "fit")) is None


def test_words_survive_the_message_and_have_the_agreed_length():
    words = np.array([1, (1 << 64) - 1], np.uint64)
    assert read_words(write_words(words), 2).tolist() == words.tolist()
    with pytest.raises(UpdateError, match="not as long as the study's"):
        read_words(write_words(words), 3)
    with pytest.raises(UpdateError, match="has no input"):
        read_words(RecordDict(), 2)


def test_how_a_study_ended_survives_the_message():
    assert read_end(write_end("too few")) == "too few"
    assert read_end(write_end("")) == ""
    assert read_end(RecordDict()) == "no reason given"


def test_keys_survive_the_message():
    keys = {3: Advertisement(b"a" * 32, b"b" * 32, b"c" * 32, 7, b"signature")}
    assert messages.read_advertisements(messages.write_advertisements(message_of(), keys)) == keys


def test_tables_survive_the_message_also_when_they_are_empty():
    for table in ({}, {0: b"x", 5: b"yy"}):
        assert messages.read_envelopes(messages.write_envelopes(message_of(), table)) == table
    own, keys = {1: b"a" * 16}, {2: b"b" * 16}
    assert messages.read_revealed(messages.write_revealed(own, keys)) == (own, keys)
    survivors = frozenset({0, 7, 9})
    assert messages.read_survivors(messages.write_survivors(message_of(), survivors)) == survivors


@pytest.mark.parametrize(
    ("indices", "values", "message"),
    [
        ([0, 0], [b"a", b"b"], "listed twice"),
        ([0, -1], [b"a", b"b"], "something else"),
        ([0], [b"a", b"b"], "is not one"),
        ([0, 1], ["a", "b"], "does not hold bytes"),
        ("01", [b"a", b"b"], "missing or too long"),
        ([0, 1 << 20], [b"a", b"b"], "something else"),
    ],
)
def test_a_table_that_is_none_is_refused(indices, values, message):
    content = message_of(**{"envelopes-of": indices, "envelopes": values})
    with pytest.raises(UpdateError, match=message):
        messages.read_envelopes(content)


def test_a_roster_survives_the_message(participant_roster):
    written = messages.write_roster(message_of(), participant_roster)
    assert messages.read_roster(written) == participant_roster


@pytest.mark.parametrize(
    ("names", "keys", "message"),
    [
        (["a", "b"], ["x"], "does not say who"),
        (["a"], ["ssh-ed25519 AAAA"], "list of participants"),
        ([], [], "list of participants"),
        (["a"], ["ecdsa-sha2-nistp384 " + "A" * 100_000], "list of participants: String should"),
    ],
)
def test_a_roster_that_is_none_is_refused(names, keys, message):
    content = message_of(names=names, keys=keys)
    with pytest.raises(UpdateError, match=message):
        messages.read_roster(content)


@pytest.fixture
def participant_roster():
    from fixtures_secagg import make_group

    return make_group(3, 2)[0].roster
