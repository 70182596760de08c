"""What a study costs of a participant's own limit, and `join` where the limit cannot hold it."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import typer
from fixtures_privacy import private_study
from test_estimators import rows
from test_training_rounds import write_study
from typer.testing import CliRunner

from blindfit.accounting import epsilon_of, rho_of
from blindfit.errors import InputError, IntegrityError, TrainingError
from blindfit.study import Study, load_study
from client_app.accepted import accept, is_accepted
from client_app.account import Account
from client_app.budget import Budget, BudgetError
from client_app.budget_in_words import cost_in_words
from client_app.charges import Limit
from client_app.commands.join import join
from client_app.study_cost import require_room, study_cost

OTHER, MUCH = "b" * 64, 1e6
KINDS = ("records", "participants")


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


def spend(home: Path, digest: str, epsilon: float, dataset: str = "default") -> None:
    """Of the account, at its delta."""
    budget = Budget.open(home, dataset)
    budget.charge(digest, "run", 1, 1, rho_of(epsilon, budget.limit.delta), MUCH)


@pytest.mark.parametrize("kind", KINDS)
def test_a_study_costs_its_guarantee_beside_what_others_spent(home: Path, kind: str) -> None:
    study = private_study("Ridge", kind=kind, epsilon=2.0)
    spend(home, OTHER, 3.0)
    cost = study_cost(study, Account.read(home))
    assert (cost.dataset, cost.limit, cost.spent_here) == ("default", Limit(8.0, 1e-5), 0.0)
    assert (cost.spent, cost.at_most) == pytest.approx((3.0, 2.0))
    both = rho_of(3.0, 1e-5) + rho_of(2.0, 1e-5)
    assert cost.total == pytest.approx(epsilon_of([both], 1e-5))
    assert 3.0 < cost.total < 5.0
    assert cost.fits


def test_a_studys_own_delta_is_converted_to_the_limits(home: Path) -> None:
    study = private_study("Ridge", epsilon=2.0, delta=1e-8)
    cost = study_cost(study, Account.read(home))
    assert cost.at_most == pytest.approx(epsilon_of([rho_of(2.0, 1e-8)], 1e-5))
    assert cost.at_most < 2.0


def test_what_a_study_spent_already_is_not_counted_twice(home: Path) -> None:
    study = private_study("Ridge", epsilon=2.0)
    spend(home, study.digest, 1.5)
    cost = study_cost(study, Account.read(home))
    assert (cost.spent, cost.spent_here) == pytest.approx((1.5, 1.5))
    assert cost.total == pytest.approx(2.0)
    assert "1.5, 1.5 on this study" in cost_in_words(cost)


def test_a_study_that_takes_the_whole_limit_fits_and_one_more_does_not(home: Path) -> None:
    Budget.open(home).set_limit(Limit(2.0, 1e-5))
    study = private_study("Ridge", epsilon=2.0)
    require_room(study_cost(study, Account.read(home)))
    spend(home, OTHER, 0.1)
    with pytest.raises(BudgetError, match=r"up to epsilon = 2\.\d+ could be told") as caught:
        require_room(study_cost(study, Account.read(home)))
    assert "this participant's limit is 2; nothing was sent" in str(caught.value)
    assert "`blindfit-client budget limit --epsilon 2." in caught.value.hint


def test_the_limit_that_a_refusal_names_is_enough(home: Path) -> None:
    study = private_study("Ridge", epsilon=7.0)
    spend(home, OTHER, 5.0, "patients")
    with pytest.raises(BudgetError) as caught:
        require_room(study_cost(study, Account.read(home, "patients")))
    words = shlex.split(caught.value.hint.split("`")[1])
    options = dict(zip(words[3::2], words[4::2], strict=True))
    assert options["--dataset"] == "patients"
    limit = Limit(float(options["--epsilon"]), float(options["--delta"]))
    Budget.open(home, "patients").set_limit(limit)
    require_room(study_cost(study, Account.read(home, "patients")))


def test_a_study_without_a_guarantee_has_no_cost(home: Path) -> None:
    document = private_study("Ridge").model_dump(by_alias=True) | {"privacy": {}}
    with pytest.raises(TrainingError, match="without a guarantee"):
        study_cost(Study.model_validate(document), Account.read(home))
    require_room(None)


# -- join ---------------------------------------------------------------------------------------


def joining(folder: Path, kind: str = "records", epsilon: float = 2.0) -> tuple[Any, ...]:
    """`join` for a study with a guarantee, and a server that is not there."""
    guarantee = f"[privacy.{kind}]\nepsilon = {epsilon}\ndelta = 1e-5\nclip = 1.0\nhonest = 2"
    study = write_study(folder, "Ridge", more=guarantee)
    X, y = rows("Ridge")
    np.savez(folder / "rows.npz", X=X, y=y)
    return (
        *(study, "--data", folder / "rows.npz", "--home", folder / "home"),
        *("--server", "127.0.0.1:1", "--ca", folder / "no.pem", "--key", folder / "no.key"),
    )


def invoke(*arguments: object) -> Any:
    app = typer.Typer()
    app.command()(join)
    return CliRunner().invoke(app, [str(item) for item in arguments], catch_exceptions=False)


@pytest.mark.parametrize("kind", KINDS)
def test_join_shows_what_a_study_costs(tmp_path: Path, home: Path, kind: str) -> None:
    spend(home, OTHER, 3.0)
    document = json.loads(invoke(*joining(tmp_path, kind), "--dry-run", "--json").stdout)
    cost = document["cost"]
    assert cost["limit"] == {"epsilon": 8.0, "delta": 1e-5}
    assert (cost["spent"], cost["at_most"], cost["fits"]) == (
        pytest.approx(3.0),
        pytest.approx(2.0),
        True,
    )
    words = next(text for text in document["words"] if text.startswith("What it costs"))
    assert "limit for these rows is epsilon 8 at delta 1e-05" in words
    assert "Spent so far: 3." in words and "may spend 2 at most" in words
    with pytest.raises(InputError, match="not accepted yet"):
        invoke(*joining(tmp_path, kind))


def test_a_dry_run_says_that_the_limit_is_too_low(tmp_path: Path, home: Path) -> None:
    Budget.open(home).set_limit(Limit(1.0, 1e-5))
    document = json.loads(invoke(*joining(tmp_path), "--dry-run", "--json").stdout)
    assert not document["cost"]["fits"]
    assert "MORE THAN YOUR LIMIT" in " ".join(document["words"])


@pytest.mark.parametrize("how", ["asked", "named", "accepted before"])
def test_join_takes_no_part_where_the_limit_is_too_low(
    tmp_path: Path, home: Path, how: str
) -> None:
    Budget.open(home).set_limit(Limit(1.0, 1e-5))
    arguments = joining(tmp_path)
    study = load_study(arguments[0])
    if how == "accepted before":
        accept(home, study)
    accepting = ("--accept", study.digest) if how == "named" else ()
    with pytest.raises(BudgetError, match=r"this participant's limit is 1; nothing was sent"):
        invoke(*arguments, *accepting)
    assert is_accepted(home, study) is (how == "accepted before")


def test_join_counts_on_the_account_of_the_named_data_set(tmp_path: Path, home: Path) -> None:
    Budget.open(home).set_limit(Limit(1.0, 1e-5))
    arguments = joining(tmp_path)
    accept(home, load_study(arguments[0]))
    for same in ("default", None):
        with pytest.raises(BudgetError):
            invoke(*arguments, *(("--dataset", same) if same else ()))
    with pytest.raises(InputError, match=r"no\.pem is not a PEM"):  # it goes on to the server
        invoke(*arguments, "--dataset", "patients")


def test_join_without_a_guarantee_needs_no_account_but_a_name(tmp_path: Path, home: Path) -> None:
    Budget.open(home).set_limit(Limit(0.001, 1e-5))
    (home / "privacy/ledger.head").unlink()
    arguments = joining(tmp_path)
    with pytest.raises(IntegrityError, match="its head is missing"):
        invoke(*arguments)
    write_study(tmp_path, "Ridge")
    document = json.loads(invoke(*arguments, "--dry-run", "--json").stdout)
    assert document["cost"] is None
    assert "What it costs" not in " ".join(document["words"])
    with pytest.raises(InputError, match="does not name a data set"):
        invoke(*arguments, "--dataset", "No")
