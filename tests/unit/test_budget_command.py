"""`blindfit-client budget`: what it shows, and when a limit is set."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from fixtures_privacy import private_study
from typer.testing import CliRunner

from blindfit.accounting import epsilon_of, rho_of
from blindfit.errors import InputError
from client_app.accepted import accept
from client_app.budget import Budget
from client_app.budget_in_words import limit_in_words, rounded_down, rounded_up
from client_app.charges import DEFAULT_LIMIT, Limit
from client_app.cli import app

RHO, MUCH = 0.01, 1e6
UNKNOWN = "b" * 64


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


def invoke(*arguments: object) -> str:
    result = CliRunner().invoke(app, ["budget", *map(str, arguments)], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.stdout


def told(*arguments: object) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(invoke(*arguments, "--json"))
    return document


def spend(home: Path, dataset: str = "default") -> str:
    """Three rounds of an accepted study, and one of a study that nothing is known about."""
    study, budget = private_study("Ridge"), Budget.open(home, dataset)
    accept(home, study)
    for number in (1, 2, 3):
        budget.charge(study.digest, "run", number, number, RHO, MUCH)
    budget.charge(UNKNOWN, "run", 1, 1, 2 * RHO, MUCH)
    return study.digest


def test_it_shows_the_limit_what_is_spent_and_by_whom(home: Path) -> None:
    digest = spend(home)
    document = told("--home", home)
    assert document == told("show", "--home", home) == told("--home", home, "show")
    assert (document["dataset"], document["limit"]) == ("default", {"epsilon": 8.0, "delta": 1e-5})
    assert document["spent"] == pytest.approx(epsilon_of([5 * RHO], 1e-5))
    left = rho_of(8.0, 1e-5) - 5 * RHO
    assert document["left"] == pytest.approx(epsilon_of([left], 1e-5))
    one, other = document["studies"]
    assert (one["digest"], one["name"], one["rounds"], one["runs"]) == (digest, "private", 3, 1)
    assert (other["digest"], other["name"], other["rounds"]) == (UNKNOWN, "", 1)
    assert one["epsilon"] == pytest.approx(epsilon_of([3 * RHO], 1e-5))
    assert other["epsilon"] == pytest.approx(epsilon_of([2 * RHO], 1e-5))
    assert one["first"] <= one["last"] <= other["first"]


def test_it_reads_well(home: Path) -> None:
    digest = spend(home)
    shown = invoke("--home", home)
    assert "limit epsilon 8 at delta 1e-05; spent 1.3" in shown
    line = next(line for line in shown.splitlines() if digest[:12] in line)
    assert line.split()[1:4] == ["private", "3", rounded_up(epsilon_of([3 * RHO], 1e-5))]
    for part in ("at most 2,981 times", "differential privacy are not counted"):
        assert part in " ".join(shown.split())


def test_looking_at_an_empty_account_writes_nothing(home: Path) -> None:
    document = told("--home", home, "--dataset", "patients")
    assert (document["spent"], document["left"], document["studies"]) == (0.0, 8.0, [])
    assert "no study was told anything yet" in invoke("--home", home)
    assert not home.exists()


def test_a_lower_limit_is_set_without_a_question(home: Path) -> None:
    spend(home)
    document = told("limit", "--epsilon", 2, "--delta", 1e-6, "--home", home)
    assert document["limit"] == {"epsilon": 2.0, "delta": 1e-6}
    assert document["before"] == {"epsilon": 8.0, "delta": 1e-5}
    assert document["spent"] == pytest.approx(epsilon_of([5 * RHO], 1e-6))
    assert Budget.open(home).limit == Limit(2.0, 1e-6)
    shown = invoke("limit", "--epsilon", 0.5, "--delta", 1e-6, "--home", home)
    assert "more than the limit is spent" in shown
    assert told("--home", home)["left"] == 0.0


def test_every_data_set_has_a_limit_of_its_own(home: Path) -> None:
    told("limit", "--epsilon", 1, "--delta", 1e-6, "--dataset", "patients", "--home", home)
    told("--dataset", "default", "limit", "--epsilon", 3, "--delta", 1e-7, "--home", home)
    assert Budget.open(home, "patients").limit == Limit(1.0, 1e-6)
    assert Budget.open(home).limit == Limit(3.0, 1e-7)
    with pytest.raises(InputError, match="does not name a data set"):
        invoke("--dataset", "../x", "--home", home)


@pytest.mark.parametrize(("epsilon", "delta"), [(9, 1e-5), (1, 1e-4), (9, 1e-6)])
def test_a_limit_is_not_raised_by_mistake(home: Path, epsilon: float, delta: float) -> None:
    numbers = ("--epsilon", epsilon, "--delta", delta, "--home", home)
    with pytest.raises(InputError, match="raises the limit") as caught:
        invoke("limit", *numbers)
    assert "--yes" in caught.value.hint
    assert Budget.open(home).limit == DEFAULT_LIMIT
    invoke("limit", *numbers, "--yes")
    assert Budget.open(home).limit == Limit(epsilon, delta)


@pytest.mark.parametrize(
    ("epsilon", "delta"), [("0", "1e-5"), ("inf", "1e-5"), ("nan", "1e-5"), ("1", "0"), ("1", "1")]
)
def test_numbers_that_limit_nothing_are_refused_whoever_agrees(
    home: Path, epsilon: str, delta: str
) -> None:
    with pytest.raises(InputError, match="is no limit") as caught:
        invoke("limit", "--epsilon", epsilon, "--delta", delta, "--home", home, "--yes")
    assert caught.value.hint
    assert not home.exists()


@pytest.mark.parametrize(("answer", "code", "limit"), [("n", 2, 8.0), ("y", 0, 9.0)])
def test_a_person_is_asked_before_the_limit_is_raised(
    home: Path, answer: str, code: int, limit: float
) -> None:
    ours, theirs = pty.openpty()
    os.write(ours, f"{answer}\n".encode())
    command = [sys.executable, "-m", "client_app.cli", "budget", "limit", "--home", str(home)]
    numbers = ["--epsilon", "9", "--delta", "1e-5"]
    done = subprocess.run([*command, *numbers], stdin=theirs, capture_output=True, text=True)
    os.close(ours)
    os.close(theirs)
    assert done.returncode == code, done.stderr
    assert "from epsilon 8 at delta 1e-05 to epsilon 9 at delta 1e-05?" in done.stderr
    assert Budget.open(home).limit.epsilon == limit


@pytest.mark.parametrize(
    ("epsilon", "up", "down"),
    [
        (0.0, "0", "0"),
        (1.0 + 1e-13, "1", "1"),
        (1.0 - 1e-13, "1", "1"),
        (8.0001, "8.01", "8"),
        (0.012341, "0.0124", "0.0123"),
        (12.34, "12.4", "12.3"),
    ],
)
def test_what_is_shown_errs_on_the_safe_side(epsilon: float, up: str, down: str) -> None:
    assert (rounded_up(epsilon), rounded_down(epsilon)) == (up, down)


def test_a_limit_says_what_it_does_not_bound() -> None:
    text = " ".join(limit_in_words(Limit(1.0, 1e-6)))
    assert "at most 2.72 times" in text
    assert "probability of 1e-06" in text
    assert "Studies without differential privacy are not counted" in text


def test_the_command_module_imports_nothing_heavy() -> None:
    heavy = ["numpy", "sklearn", "pandas", "flwr", "pydantic", "grpc", "dp_accounting"]
    code = f"import sys, client_app.cli; print([m for m in {heavy!r} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
