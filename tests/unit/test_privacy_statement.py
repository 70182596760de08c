"""What is claimed about the privacy of a training, and what is not."""

from __future__ import annotations

import re

import pytest
from fixtures_card import RECORDS, digits_study

from blindfit.privacy_statement import PrivacyStatement, colluding_allowed, privacy_statement
from keys.participant import ensure_participant_key

PARTICIPANTS = RECORDS.replace("records", "participants")
OFF = "[privacy]\nsecure_aggregation = false\n"


def said(statement: PrivacyStatement) -> str:
    return " ".join([*statement.summary, *statement.assumptions, *statement.not_covered])


@pytest.fixture(scope="module")
def five_keys(tmp_path_factory):
    """``[[participants]]`` with five real keys."""
    keys = [ensure_participant_key(tmp_path_factory.mktemp("participant")) for _ in range(5)]
    tables = [
        f'[[participants]]\nname = "hospital-{index}"\nkey = "{key.strip()}"\n'
        for index, key in enumerate(keys)
    ]
    return "".join(tables)


def test_without_named_participants_a_coordinator_that_cheats_is_not_claimed_to_be_kept_out():
    statement = privacy_statement(digits_study(), participants=5)
    secrecy = statement.secrecy
    assert secrecy is not None
    assert (secrecy.coordinator, secrecy.pinned, secrecy.threshold) == (
        "honest-but-curious",
        False,
        3,
    )
    # Of three that finish a round two must be honest: or the sum is what the only one sent.
    assert (secrecy.colluding, secrecy.colluding_if_curious) == (1, 1)
    assert "could invent participants" in said(statement)
    assert "breaks the rules in any way" not in said(statement)
    assert "sum of the updates" in statement.summary[0]
    assert "no differential privacy" in said(statement)


def test_named_participants_keep_out_a_coordinator_that_cheats(five_keys):
    statement = privacy_statement(digits_study(five_keys), participants=3)
    assert statement.participants == 5
    secrecy = statement.secrecy
    assert secrecy is not None
    assert (secrecy.coordinator, secrecy.pinned, secrecy.threshold) == ("malicious", True, 3)
    assert (secrecy.colluding, secrecy.colluding_if_curious) == (0, 1)
    assert "breaks the rules in any way, but not if any participant sides with it" in said(
        statement
    )
    assert "even if one participant sides with it" in said(statement)
    assert "names all 5 participants" in said(statement)

    all_five = privacy_statement(
        digits_study("[privacy]\nthreshold = 5\n" + five_keys), participants=5
    )
    assert all_five.secrecy is not None
    assert all_five.secrecy.colluding == 3


@pytest.mark.parametrize(
    ("known", "threshold", "malicious", "allowed"),
    [
        (2, 2, False, 0),
        (3, 2, True, 0),
        (4, 3, False, 1),
        (4, 3, True, 1),
        (10, 7, False, 5),
        (10, 7, True, 3),
        (200, 180, False, 20),
        (200, 180, True, 20),
    ],
)
def test_how_many_may_collude(known, threshold, malicious, allowed):
    assert colluding_allowed(known, threshold, malicious=malicious) == allowed


def test_by_brute_force_no_two_groups_can_be_told_different_things():
    # A participant is uncovered if t give shares of one of its secrets and t of the other; an
    # honest one gives one of them only, a colluding one both.
    for known in range(2, 30):
        for threshold in range(known // 2 + 1, known + 1):
            allowed = colluding_allowed(known, threshold, malicious=True)
            honest = known - allowed
            assert all(
                one + allowed < threshold or honest - one + allowed < threshold
                for one in range(honest + 1)
            )


def test_without_secure_aggregation_every_update_was_seen():
    statement = privacy_statement(digits_study(OFF), participants=3)
    assert not statement.secure_aggregation
    assert "every participant's own metrics and its update" in statement.summary[0]
    assert "rows can leak through it" in statement.summary[0]
    assert "sides with" not in said(statement)


@pytest.mark.parametrize(
    ("section", "unit", "in_words"),
    [
        (RECORDS, "row", "one row more or less at one participant (added or removed)"),
        (PARTICIPANTS, "participant", "one participant more or less (added or removed)"),
    ],
)
def test_differential_privacy_names_its_unit_neighbours_and_numbers(section, unit, in_words):
    statement = privacy_statement(digits_study(section), participants=4)
    guarantee = statement.differential_privacy
    assert guarantee is not None
    assert (guarantee.unit, guarantee.neighbours) == (unit, "add-or-remove")
    assert (guarantee.epsilon, guarantee.delta, guarantee.clip) == (2, 1e-6, 1.5)
    assert (guarantee.honest, guarantee.rounds) == (2, 5)
    text = said(statement)
    assert in_words in text
    assert "7.39 times" in text  # e to the power of 2
    assert "at least 2 of the participants that finish it" in text
    assert "k times as large" in text
    assert "nothing bounds what its parameters" not in text


def test_metrics_without_noise_are_named_as_not_covered():
    covered = privacy_statement(digits_study(RECORDS), participants=4)
    bare = privacy_statement(digits_study(RECORDS), participants=4, noisy_metrics=False)
    assert "updates and of the metrics" in said(covered)
    assert not any("epsilon and delta do not cover" in line for line in covered.not_covered)
    assert any("epsilon and delta do not cover" in line for line in bare.not_covered)


@pytest.mark.parametrize("origin", ["local", "imported"])
def test_no_federation_no_claim_whatever_the_study_says(origin):
    statement = privacy_statement(digits_study(RECORDS), participants=1, origin=origin)
    assert statement.secrecy is None
    assert statement.differential_privacy is None
    assert statement.assumptions == ()
    assert "nothing is claimed" in statement.summary[0].lower()


def test_an_unknown_number_of_participants_is_not_made_up():
    statement = privacy_statement(digits_study(), participants=None)
    assert statement.secrecy is not None
    assert statement.secrecy.threshold is None
    assert "at least two honest participants are in every sum" in said(statement)
    assert "None" not in said(statement)


def test_two_participants_learn_each_others_updates():
    statement = privacy_statement(digits_study(), participants=2)
    assert any("what the other one sent" in line for line in statement.not_covered)


def test_sentences_are_whole(five_keys):
    for section in ("", OFF, RECORDS, PARTICIPANTS, five_keys):
        for number in (2, 5, 150):
            statement = privacy_statement(digits_study(section), participants=number)
            for line in (*statement.summary, *statement.assumptions, *statement.not_covered):
                assert re.fullmatch(r"[A-Z].*\.", line)
                assert not re.search(r"  |\.\.|,\.|None|\b1 participants", line), line


def test_a_statement_survives_the_manifest():
    statement = privacy_statement(digits_study(RECORDS), participants=4)
    assert PrivacyStatement.model_validate_json(statement.model_dump_json()) == statement
