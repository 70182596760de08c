"""A participant's privacy account: what it allows, what survives, what it notices."""

from __future__ import annotations

import json
import multiprocessing
import shutil
import stat
from pathlib import Path

import pytest
from fixtures_crash import kill_points
from fixtures_privacy import private_study

from blindfit.accounting import epsilon_of, rho_of
from blindfit.errors import (
    AccessError,
    InputError,
    IntegrityError,
    TrainingError,
    exit_codes,
)
from blindfit.noise_plan import plan
from blindfit.secagg.round_id import RoundId
from client_app.budget import Budget, BudgetError
from client_app.charges import DEFAULT_LIMIT, Limit
from client_app.data_sets import DEFAULT_DATASET
from client_app.study_budget import StudyBudget

STUDY, OTHER = "a" * 64, "b" * 64
RHO = 0.01
MUCH = 1e6


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


@pytest.fixture
def budget(home: Path) -> Budget:
    return Budget.open(home)


def lines(home: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in (home / "privacy/ledger.jsonl").read_bytes().splitlines()]


def test_an_account_begins_with_the_default_and_says_so(budget: Budget, home: Path) -> None:
    assert (budget.limit, budget.spent(), budget.studies()) == (DEFAULT_LIMIT, 0.0, [])
    assert not home.exists()  # looking writes nothing
    budget.charge(STUDY, "run", 1, 0, RHO, MUCH)
    first = lines(home)[0]
    assert (first["event"], first["epsilon"], first["delta"], first["by"]) == (
        *("limit", "8.0", "1e-05"),
        "default",
    )


def test_charges_add_up_over_studies(budget: Budget, home: Path) -> None:
    budget.charge(STUDY, "run", 1, 0, RHO, MUCH)
    budget.charge(STUDY, "run", 2, 0, RHO, MUCH)
    budget.charge(STUDY, "again", 2, 0, RHO, MUCH)
    budget.charge(OTHER, "run", 1, "first", 2 * RHO, MUCH)
    again = Budget.open(home)
    assert again.spent() == pytest.approx(epsilon_of([5 * RHO], 1e-5))
    one, other = again.studies()
    assert (one.study_digest, one.runs, one.charges) == (STUDY, 2, 3)
    assert (one.rho, other.rho) == pytest.approx((3 * RHO, 2 * RHO))
    assert one.epsilon == pytest.approx(epsilon_of([3 * RHO], 1e-5))
    assert one.since <= one.until <= other.since


def test_a_study_cannot_be_told_more_than_its_own_rounds(budget: Budget) -> None:
    limit = 3 * RHO
    for number in (1, 2, 3):
        budget.charge(STUDY, "run", number, 0, RHO, limit)
    for run in ("run", "another"):  # a second run is told more about the same rows
        with pytest.raises(BudgetError, match="the study's own guarantee") as caught:
            budget.charge(STUDY, run, 4, 0, RHO, limit)
    assert "new study" in caught.value.hint
    budget.charge(OTHER, "run", 1, 0, RHO, limit)


def test_all_studies_together_have_a_limit(budget: Budget, home: Path) -> None:
    budget.set_limit(Limit(1.0, 1e-6))
    allowed = rho_of(1.0, 1e-6)
    budget.charge(STUDY, "run", 1, 0, allowed / 2, MUCH)
    budget.charge(OTHER, "run", 1, 0, allowed / 2, MUCH)
    assert budget.spent() == pytest.approx(1.0)
    before = lines(home)
    with pytest.raises(BudgetError, match=r"would reach epsilon = 1\.0\d* at delta = 1e-06") as no:
        budget.charge(OTHER, "run", 2, 0, allowed / 100, MUCH)
    assert (no.value.exit_code, isinstance(no.value, TrainingError)) == (9, True)
    assert no.value.exit_code in exit_codes() and no.value.hint
    assert lines(home) == before
    budget.set_limit(Limit(2.0, 1e-6))
    budget.charge(OTHER, "run", 2, 0, allowed / 100, MUCH)
    budget.set_limit(Limit(0.5, 1e-6))  # below what was spent: nothing more is told
    with pytest.raises(BudgetError, match=r"limit is 0\.5"):
        budget.charge(OTHER, "run", 3, 0, 1e-9, MUCH)


def test_no_attempt_is_charged_twice(budget: Budget) -> None:
    budget.charge(STUDY, "run", 1, 7, RHO, MUCH)
    with pytest.raises(BudgetError, match="attempt 7 was charged before"):
        budget.charge(STUDY, "run", 1, 7, RHO, MUCH)
    for run, number, attempt in (("run", 1, 8), ("run", 2, 7), ("other", 1, 7), ("run", 1, "7")):
        budget.charge(STUDY, run, number, attempt, RHO, MUCH)
    assert budget.studies()[0].charges == 5


def test_a_charge_moves_to_a_new_attempt_exactly_once(budget: Budget) -> None:
    budget.charge(STUDY, "run", 1, "a", RHO, RHO)
    budget.reuse(STUDY, "run", 1, "a", "b")
    assert budget.spent() == pytest.approx(epsilon_of([RHO], 1e-5))
    for old, new in (("a", "c"), ("b", "a"), ("b", "b"), ("c", "d")):
        with pytest.raises(BudgetError):
            budget.reuse(STUDY, "run", 1, old, new)
    for attempt in ("a", "b"):  # the old one does not come back
        with pytest.raises(BudgetError, match="charged before"):
            budget.charge(STUDY, "run", 1, attempt, RHO, MUCH)
    budget.reuse(STUDY, "run", 1, "b", "c")
    budget.reuse(STUDY, "run", 1, "c", "c", new_round=2)
    assert budget.studies()[0].charges == 1
    with pytest.raises(BudgetError, match="no charge"):
        budget.reuse(STUDY, "other", 2, "c", "d")


@pytest.mark.parametrize("rho", [0.0, -1.0, float("nan"), float("inf")])
def test_what_cannot_be_accounted_for_is_refused(budget: Budget, rho: float) -> None:
    with pytest.raises(BudgetError, match="cannot be accounted for"):
        budget.charge(STUDY, "run", 1, 0, rho, MUCH)
    with pytest.raises(BudgetError, match="cannot be accounted for"):
        budget.charge(STUDY, "run", 1, 0, RHO, rho)
    with pytest.raises(BudgetError, match="too long"):
        budget.charge(STUDY, "run" * 100, 1, 0, RHO, MUCH)
    with pytest.raises(InputError, match="is no limit"):
        budget.set_limit(Limit(rho, 1e-5))


def test_named_data_sets_have_accounts_of_their_own(home: Path) -> None:
    names = (DEFAULT_DATASET, "patients", "patients-2")
    for name in names:
        Budget.open(home, name).charge(STUDY, "run", 1, 0, RHO, MUCH)
    assert [Budget.open(home, name).studies()[0].charges for name in names] == [1, 1, 1]
    assert Budget.open(home).studies() == Budget.open(home, DEFAULT_DATASET).studies()
    for name in ("", "../x", "A", "-a", "a/b", "a" * 64):
        with pytest.raises(InputError, match="does not name a data set"):
            Budget.open(home, name)


# -- damage -------------------------------------------------------------------------------------


def test_only_its_owner_may_read_it(budget: Budget, home: Path) -> None:
    budget.charge(STUDY, "run", 1, 0, RHO, MUCH)
    for path in (home / "privacy").iterdir():
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    (home / "privacy/ledger.jsonl").chmod(0o644)
    with pytest.raises(AccessError, match="may be used by others"):
        budget.spent()


@pytest.mark.parametrize(
    "damage", ["changed", "cut", "emptied", "removed", "head removed", "head damaged", "unknown"]
)
def test_a_damaged_ledger_is_refused(budget: Budget, home: Path, damage: str) -> None:
    for number in (1, 2, 3):
        budget.charge(STUDY, "run", number, 0, RHO, MUCH)
    ledger, head = home / "privacy/ledger.jsonl", home / "privacy/ledger.head"
    content = ledger.read_bytes()
    if damage == "changed":
        ledger.write_bytes(content.replace(b'"round":3', b'"round":9'))
    elif damage == "cut":
        ledger.write_bytes(b"\n".join(content.split(b"\n")[:-2]) + b"\n")
    elif damage == "emptied":
        ledger.write_bytes(b"")
    elif damage == "removed":
        ledger.unlink()
    elif damage == "head removed":
        head.unlink()
    elif damage == "head damaged":
        head.write_bytes(b"0" * 10)
    else:
        budget._ledger.append([{"event": "refund"}])
    for use in (budget.spent, budget.studies, lambda: budget.charge(STUDY, "r", 9, 0, RHO, MUCH)):
        with pytest.raises(IntegrityError) as caught:
            use()
        assert caught.value.hint


def test_a_line_that_a_crash_cut_was_never_charged(budget: Budget, home: Path) -> None:
    budget.charge(STUDY, "run", 1, 0, RHO, MUCH)
    with (home / "privacy/ledger.jsonl").open("ab") as file:
        file.write(b'{"number":3,"event":"char')
    assert budget.studies()[0].charges == 1
    budget.charge(STUDY, "run", 2, 0, RHO, MUCH)
    assert budget.studies()[0].charges == 2


# -- crashes ------------------------------------------------------------------------------------


def charges(budget: Budget) -> int:
    return sum(study.charges for study in budget.studies())


def test_a_crash_on_first_use_leaves_a_charge_or_none_was_promised(
    home: Path, tmp_path: Path
) -> None:
    epsilon_of([RHO], 1e-5)  # imported before there are forks
    promised = tmp_path / "promised"

    def prepare() -> None:
        shutil.rmtree(home, ignore_errors=True)
        promised.unlink(missing_ok=True)
        (home / "privacy").mkdir(mode=0o700, parents=True)

    def work() -> None:
        Budget.open(home).charge(STUDY, "run", 1, 0, RHO, MUCH)
        promised.touch()

    seen = set()
    for _ in kill_points(home / "privacy", prepare, work):
        budget = Budget.open(home)
        assert charges(budget) == 1 or not promised.exists()
        seen.add(charges(budget))
        budget.charge(STUDY, "run", 2, 0, RHO, MUCH)
        assert budget.limit == DEFAULT_LIMIT
    assert seen == {0, 1}


@pytest.mark.parametrize("every", [pytest.param(1, marks=pytest.mark.slow, id="all"), 3])
def test_a_crash_anywhere_leaves_a_charge_or_none_was_promised(
    home: Path, tmp_path: Path, every: int
) -> None:
    Budget.open(home).charge(STUDY, "run", 1, 0, RHO, MUCH)
    (home / "privacy").rename(tmp_path / "scene")
    promised = tmp_path / "promised"

    def prepare() -> None:
        shutil.rmtree(home / "privacy", ignore_errors=True)
        shutil.copytree(tmp_path / "scene", home / "privacy")
        promised.write_text("1")

    def work() -> None:
        budget = Budget.open(home)
        budget.charge(STUDY, "run", 2, 0, RHO, MUCH)
        promised.write_text("2")
        budget.reuse(STUDY, "run", 2, 0, 1)
        promised.write_text("moved")
        budget.set_limit(Limit(9.0, 1e-5))
        budget.charge(STUDY, "run", 3, 0, RHO, MUCH)

    tried = 0
    for _ in kill_points(home / "privacy", prepare, work, every):
        tried += 1
        budget, said = Budget.open(home), promised.read_text()
        count = charges(budget)
        if said == "moved":
            assert count in (2, 3)
            with pytest.raises(BudgetError):
                budget.reuse(STUDY, "run", 2, 0, 5)
        else:
            assert int(said) <= count <= 2
        # Whatever was left does not hinder what comes.
        budget.charge(OTHER, "run", 1, 0, RHO, MUCH)
        assert charges(budget) == count + 1
        assert not list((home / "privacy").glob("*.tmp"))
        assert not list((home / "privacy").glob(".*.tmp"))
    assert tried >= 24 // every


def test_processes_do_not_spend_the_same_twice(budget: Budget, home: Path) -> None:
    budget.set_limit(Limit(1.0, 1e-5))
    part = rho_of(1.0, 1e-5) / 6
    granted = home.parent / "granted"

    def spend(name: int) -> None:
        for number in range(4):
            try:
                Budget.open(home).charge(STUDY, f"run {name}", number, 0, part, MUCH)
            except BudgetError:
                continue
            with granted.open("a") as file:
                file.write("x")

    fork = multiprocessing.get_context("fork")
    children = [fork.Process(target=spend, args=(name,)) for name in range(4)]
    for child in children:
        child.start()
    for child in children:
        child.join()
    assert [child.exitcode for child in children] == [0] * 4
    assert len(granted.read_text()) == charges(budget) == 6
    assert budget.spent() == pytest.approx(1.0)


# -- as a training uses it ----------------------------------------------------------------------


def round_id(study: str, number: int, run: str = "00" * 16) -> RoundId:
    return RoundId(study, run, number)


def test_a_study_is_charged_for_its_rounds_and_no_more(budget: Budget) -> None:
    study = private_study("LogisticRegression", rounds=3)
    planned, ledger = plan(study), StudyBudget(budget)
    for number in (1, 2, 3):
        ledger.charge(study, round_id(study.digest, number), planned.rho_per_round)
    assert budget.spent() == pytest.approx(planned.epsilon_spent)
    with pytest.raises(BudgetError, match="own guarantee"):
        ledger.charge(study, round_id(study.digest, 4), planned.rho_per_round)


def test_a_round_that_stays_masked_gives_its_charge_to_the_next(budget: Budget) -> None:
    study = private_study("LogisticRegression", rounds=2)
    rho, ledger = plan(study).rho_per_round, StudyBudget(budget)
    one, two, three = (round_id(study.digest, number) for number in (1, 2, 3))
    ledger.charge(study, one, rho)
    assert ledger.reuse(study, one, two)
    assert not ledger.reuse(study, one, three)
    assert not ledger.reuse(study, two, round_id(study.digest, 3, run="11" * 16))
    ledger.charge(study, three, rho)
    assert charges(budget) == 2


def test_a_study_without_a_guarantee_is_not_charged(budget: Budget) -> None:
    document = private_study("Ridge").model_dump(by_alias=True)
    document["privacy"] = {}
    study = private_study("Ridge").model_validate(document)
    with pytest.raises(TrainingError, match="without a guarantee"):
        StudyBudget(budget).charge(study, round_id(study.digest, 1), RHO)
