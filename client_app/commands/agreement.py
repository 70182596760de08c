"""What `join` shows of a study before it takes part, and the question whether to."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import typer

from blindfit.console import emit, say
from client_app.commands.paragraphs import print_paragraphs

if TYPE_CHECKING:
    from blindfit.study import Study
    from client_app.node import Participation
    from client_app.study_cost import StudyCost


def agree(study: Study, participation: Participation, digest: str | None) -> None:
    """Show the study and ask, unless it was accepted before or is named by its digest.

    Raises `InputError` without a yes, and `BudgetError` for a study that this participant's own
    limit cannot hold, whether or not it was accepted before.
    """
    from client_app.accepted import accept, is_accepted, require_same
    from client_app.budget_in_words import cost_in_words
    from client_app.study_cost import require_room
    from client_app.study_in_words import in_words

    cost = cost_of(study, participation)
    if digest is not None:
        require_same(study, digest)
    asking = digest is None and not is_accepted(participation.home, study)
    if asking:
        print_paragraphs(in_words(study, participation.server, cost))
    elif cost is not None:
        print_paragraphs([cost_in_words(cost)])
    require_room(cost)
    if asking:
        _ask(study)
    accept(participation.home, study)


def show_only(study: Study, participation: Participation, as_json: bool) -> None:
    """Show the study and what it costs, and check the rows: all that `join` does without a server.

    Raises `RowsError` for rows that are not as the study says.
    """
    from blindfit.dataset import load
    from client_app.study_in_words import in_words

    rows = load(study, participation.data, participation.out_of_bounds)
    cost = cost_of(study, participation)
    words = in_words(study, participation.server, cost)
    document: dict[str, Any] = {
        "study": study.name,
        "digest": study.digest,
        "words": words,
        "cost": None if cost is None else cost.document(),
        "rows": len(rows.X),
        "warning": rows.warning,
    }

    def human() -> None:
        print_paragraphs(words)
        say_checked(len(rows.X), rows.warning)

    emit(document, as_json, human)


def cost_of(study: Study, participation: Participation) -> StudyCost | None:
    """What a study takes of this participant's limit; None for one that is not counted.

    Raises `InputError` for a data set that cannot be called so, and `IntegrityError` for a damaged
    account: later, a process without a terminal would find out.
    """
    from client_app.account import Account
    from client_app.data_sets import account_folder
    from client_app.study_cost import study_cost

    account_folder(participation.home, participation.dataset)
    if study.privacy.guarantee is None:
        return None
    return study_cost(study, Account.read(participation.home, participation.dataset))


def say_checked(rows: int, warning: str) -> None:
    """That the rows can be used."""
    say(f"{rows} rows are as the study says")
    if warning:
        say(f"warning: {warning}")


def _ask(study: Study) -> None:
    from blindfit.errors import InputError

    if not sys.stdin.isatty():
        raise InputError(
            "this study was not accepted yet", hint=f"if you agree, pass --accept {study.digest}"
        )
    if not typer.confirm("Take part?", err=True):
        raise InputError("you did not accept the study; nothing was sent")


__all__ = ["agree", "cost_of", "say_checked", "show_only"]
