"""`blindfit-client budget`: how much trainings may tell about one's rows, and have told."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from blindfit.console import HomeOption, JsonOption, emit, print_table, say
from client_app.commands.paragraphs import print_paragraphs
from client_app.data_sets import DEFAULT_DATASET

if TYPE_CHECKING:
    from client_app.account import Account
    from client_app.charges import Limit

app = typer.Typer(invoke_without_command=True)

DatasetOption = Annotated[
    str | None,
    typer.Option(
        metavar="NAME", help=f"Which rows, as `join` calls them [default: {DEFAULT_DATASET}]."
    ),
]


@app.callback()
def budget(
    context: typer.Context,
    dataset: DatasetOption = None,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show what trainings may tell about your rows, and have told; `budget limit` sets it."""
    if context.invoked_subcommand is None:
        _show(home, dataset, as_json)
    else:
        context.obj = (dataset, home, as_json)  # given before the subcommand's name


@app.command()
def show(
    context: typer.Context,
    dataset: DatasetOption = None,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show the limit, what is spent of it, and by which studies."""
    outer_dataset, outer_home, outer_json = context.obj
    _show(home or outer_home, dataset or outer_dataset, as_json or outer_json)


@app.command()
def limit(
    context: typer.Context,
    epsilon: Annotated[float, typer.Option(help="The most that all studies together may spend.")],
    delta: Annotated[
        float, typer.Option(help="Its remaining probability: far below 1 / (number of rows).")
    ],
    dataset: DatasetOption = None,
    yes: Annotated[
        bool, typer.Option("--yes", help="Raise the limit without being asked, for scripts.")
    ] = False,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Set the limit for one data set; what was spent already counts towards it."""
    from blindfit.home import resolve_home
    from client_app.account import Account
    from client_app.budget import Budget
    from client_app.charges import Limit

    outer_dataset, outer_home, outer_json = context.obj
    folder, name = resolve_home(home or outer_home), dataset or outer_dataset or DEFAULT_DATASET
    account, wanted = Budget.open(folder, name), Limit(epsilon, delta)
    wanted.require_sense()
    before = account.limit
    if _is_raised(before, wanted) and not yes:
        _confirm(before, wanted)
    account.set_limit(wanted)
    after = Account.read(folder, name)
    document = _document(after, folder) | {
        "before": {"epsilon": before.epsilon, "delta": before.delta}
    }
    emit(document, as_json or outer_json, lambda: _print_limit(after))


def _show(home: Path | None, dataset: str | None, as_json: bool) -> None:
    from blindfit.home import resolve_home
    from client_app.account import Account
    from client_app.budget_in_words import limit_in_words

    folder = resolve_home(home)
    account = Account.read(folder, dataset or DEFAULT_DATASET)
    document = _document(account, folder)

    def human() -> None:
        _print_limit(account)
        _print_studies(document["studies"])
        print_paragraphs(limit_in_words(account.limit), sys.stdout)

    emit(document, as_json, human)


def _document(account: Account, home: Path) -> dict[str, Any]:
    from client_app.accepted import accepted_name

    return {
        "dataset": account.dataset,
        "limit": {"epsilon": account.limit.epsilon, "delta": account.limit.delta},
        "spent": account.spent,
        "left": account.left,
        "studies": [
            {
                "digest": study.study_digest,
                "name": accepted_name(home, study.study_digest),
                "runs": study.runs,
                "rounds": study.charges,
                "epsilon": study.epsilon,
                "first": study.since,
                "last": study.until,
            }
            for study in account.studies
        ],
    }


def _print_limit(account: Account) -> None:
    from client_app.budget_in_words import rounded_down, rounded_up

    print(
        f"data set {account.dataset}: limit epsilon {account.limit.epsilon:g} at delta "
        f"{account.limit.delta:g}; spent {rounded_up(account.spent)}"
    )
    if account.limit.holds(account.spent):
        more = " (several tell less than the sum says)" if account.spent else ""
        left = rounded_down(account.left)
        print(f"what is left is enough for one more study of epsilon {left}{more}")
    else:
        print("more than the limit is spent: what would be counted is refused until it is raised")


def _print_studies(studies: list[dict[str, Any]]) -> None:
    from client_app.budget_in_words import rounded_up

    if not studies:
        print("no study was told anything yet")
        return
    rows = [
        [s["digest"][:12], s["name"], str(s["rounds"]), rounded_up(s["epsilon"]),
         s["first"], s["last"]]
        for s in studies
    ]  # fmt: skip
    print_table("", ["study", "name", "rounds", "epsilon", "first", "last"], rows)


def _is_raised(before: Limit, wanted: Limit) -> bool:
    """Also if only one of the two numbers is: no order says which of them tells more."""
    return wanted.epsilon > before.epsilon or wanted.delta > before.delta


def _confirm(before: Limit, wanted: Limit) -> None:
    from blindfit.errors import InputError

    if not sys.stdin.isatty():
        raise InputError(
            "this raises the limit, and there is no terminal to ask on; nothing was changed",
            hint="if that is meant, pass --yes",
        )
    say(
        f"Raise the limit from epsilon {before.epsilon:g} at delta {before.delta:g} to epsilon "
        f"{wanted.epsilon:g} at delta {wanted.delta:g}? What is told then cannot be taken back."
    )
    if not typer.confirm("Raise it?", err=True):
        raise InputError("the limit was not raised; nothing was changed")
