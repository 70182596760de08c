"""A study as a person reads it before taking part: what is computed, what leaves, what holds."""

from __future__ import annotations

from typing import TYPE_CHECKING

from blindfit.privacy_statement import privacy_statement
from blindfit.roster import key_fingerprint
from blindfit.study import Study
from client_app.budget_in_words import cost_in_words

if TYPE_CHECKING:
    from client_app.study_cost import StudyCost

_FEW = 12  # names that are listed


def in_words(study: Study, server: str, cost: StudyCost | None = None) -> list[str]:
    """Paragraphs; the first names the study and its digest, one what it costs of the limit."""
    return [
        f"Study {study.name}, digest {study.digest}",
        _computed(study),
        _leaves(study, server),
        *_guarantee(study),
        *([] if cost is None else [cost_in_words(cost)]),
        _who(study),
        f"This machine runs the participant's part of the installed Blindfit for it, and refuses "
        f"any app but {study.study.app[:16]}… from the server.",
    ]


def _computed(study: Study) -> str:
    schema, model = study.schema_, study.model
    if schema.classes is not None:
        target = f"one of {len(schema.classes)} classes ({schema.target})"
    else:
        target = f"a number ({schema.target})"
    params = ", ".join(f"{key} = {value}" for key, value in model.params.items())
    how = "steps along clipped gradients" if study.algorithm == "gradient" else "averaging fits"
    return (
        f"What is computed: a {model.estimator}{f' ({params})' if params else ''} that predicts "
        f"{target} from {len(schema.columns())} columns, by {how} in up to "
        f"{study.federation.rounds} rounds."
    )


def _leaves(study: Study, server: str) -> str:
    if study.privacy.secure_aggregation:
        what = (
            "in each round one list of numbers (the update, the number of rows, the sums of loss "
            "and scores), under masks that cancel out only in the sum over all participants"
        )
    else:
        what = (
            "in each round the update, the number of rows, and the sums of loss and scores, "
            "READABLE for the coordinator: this study has turned secure aggregation off"
        )
    return f"What leaves this machine: no row. To {server} go, {what}."


def _guarantee(study: Study) -> list[str]:
    statement = privacy_statement(
        study, participants=len(study.participants) or None, noisy_metrics=True
    )
    return [
        "What is promised: " + " ".join(statement.summary),
        "It assumes: " + " ".join(statement.assumptions),
        "It does not cover: " + " ".join(statement.not_covered),
    ]


def _who(study: Study) -> str:
    if not study.participants:
        return (
            "Who takes part: whom the coordinator admits. The study does not name the participants."
        )
    shown = "; ".join(f"{m.name} ({key_fingerprint(m)})" for m in study.participants[:_FEW])
    more = len(study.participants) - _FEW
    return f"Who takes part: {shown}{f'; and {more} more' if more > 0 else ''}."


__all__ = ["in_words"]
