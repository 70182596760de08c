"""The scores in a manifest: float model, quantized model and encrypted execution side by side."""

from __future__ import annotations

from dataclasses import dataclass

from blindfit.card_text import clean, number, percent, plural, score
from blindfit.manifest import Manifest

Facts = list[tuple[str, str]]
_STEPS = {"clear": "float model", "quantized": "quantized model", "encrypted": "encrypted"}
_MOST_OTHERS = 10


@dataclass(frozen=True)
class Step:
    """One of the three, its score on all labelled rows and on the sample (None: not measured)."""

    name: str
    on_all: float | None
    on_sample: float | None


@dataclass(frozen=True)
class Comparison:
    """The steps, on ``rows`` labelled rows and on ``sample`` of them; where the rows came from."""

    steps: list[Step]
    rows: int
    sample: int
    source: str


def comparison_of(manifest: Manifest) -> Comparison | None:
    """The scores side by side; None if there were no labelled rows."""
    about, kind = manifest.evaluation, _kind(manifest)
    if about is None:
        return None
    scores = manifest.accuracy
    steps = [
        Step(name, scores.get(f"{key}_{kind}"), scores.get(f"sample_{key}_{kind}"))
        for key, name in _STEPS.items()
    ]
    known = [step for step in steps if step.on_all is not None or step.on_sample is not None]
    source = (
        "rows that the model was trained on"
        if about.source == "training"
        else "labelled rows that the publisher gave for this; nothing here proves that the model "
        "was not trained on them"
    )
    return Comparison(known, about.rows, about.encrypted_rows, source)


def headline(manifest: Manifest) -> tuple[str, str]:
    """The number to know first, and what it is."""
    kind, about = _kind(manifest), manifest.evaluation
    found = manifest.accuracy.get(f"sample_encrypted_{kind}")
    if found is not None and about is not None:
        rows = plural(about.encrypted_rows, "training row" if about.source == "training" else "row")
        name = "accuracy" if kind == "accuracy" else "R²"
        return score(found, kind), f"{name} of encrypted predictions, on {rows}"
    gate = manifest.gate
    return percent(gate.agreed / gate.rows), "of encrypted test results equal the quantized model's"


def score_facts(manifest: Manifest) -> Facts:
    """Scores that are in no comparison, as that of the participants' own rows."""
    kind = _kind(manifest)
    compared = {f"{prefix}{key}_{kind}" for key in _STEPS for prefix in ("", "sample_")}
    facts = []
    for name, value in list(manifest.accuracy.items())[:_MOST_OTHERS]:
        if name == f"training_{kind}":
            facts.append(("On the rows that it was trained on", score(value, kind)))
        elif name not in compared:
            facts.append((clean(name), number(value)))
    return facts


def gate_facts(manifest: Manifest) -> Facts:
    """How float, quantized and encrypted results agreed on the rows of the gate."""
    gate = manifest.gate
    rows = f"{gate.agreed} of {plural(gate.rows, 'row')} at the bounds and random ones, exactly"
    facts = [("Encrypted equals quantized", rows)]
    if manifest.evaluation is not None:
        about = manifest.evaluation
        labelled = f"{about.agreed} of {plural(about.encrypted_rows, 'labelled row')}, exactly"
        facts.append(("Encrypted equals quantized", labelled))
    if gate.same_labels is not None:
        share = f"{percent(gate.same_labels / gate.rows)} of the gate's rows ({gate.same_labels})"
        facts.append(("Quantized and float model say the same class", share))
    if gate.largest_error is not None:
        facts.append(
            ("Largest difference of quantized and float model", number(gate.largest_error))
        )
    return facts


def _kind(manifest: Manifest) -> str:
    return "accuracy" if manifest.schema_.is_classification else "r2"


__all__ = ["Comparison", "Step", "comparison_of", "gate_facts", "headline", "score_facts"]
