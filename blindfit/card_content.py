"""What a model card says, from a manifest alone; the templates only lay it out.

The order follows Mitchell et al. 2019, Model Cards for Model Reporting (FAT*): details, what the
model takes and gives, training, privacy, accuracy, cost, caveats.
"""

from __future__ import annotations

import json
from dataclasses import dataclass

from blindfit.card_schema import Columns, columns_of, target_of
from blindfit.card_scores import Comparison, comparison_of, gate_facts, headline, score_facts
from blindfit.card_text import clean, number, plural, seconds, size
from blindfit.card_training import Training, read_training, training_facts
from blindfit.errors import StudyError
from blindfit.manifest import Manifest
from blindfit.privacy_statement import PrivacyStatement
from blindfit.study import Study, study_from_json

Facts = list[tuple[str, str]]
_MOST_PARAMETERS = 30


@dataclass(frozen=True)
class Content:
    """Everything on a card; a fact is a label and a value."""

    manifest: Manifest
    kind: str  # of score: accuracy or r2
    predicts: str
    headlines: Facts
    details: Facts
    columns: list[Columns]
    columns_left_out: int
    training: Training | None
    training_facts: Facts
    noise_in_rounds: str
    noise_in_scores: str
    comparison: Comparison | None
    accuracy_facts: Facts
    cost_facts: Facts
    caveats: list[str]


def content_of(manifest: Manifest) -> Content:
    """The content of the card of ``manifest``."""
    training, study = read_training(manifest.training), _study(manifest)
    columns, left_out = columns_of(manifest.schema_)
    in_rounds, in_scores = _noise(manifest.privacy)
    return Content(
        manifest=manifest,
        kind="accuracy" if manifest.schema_.is_classification else "r2",
        predicts=target_of(manifest.schema_),
        headlines=_headlines(manifest, training),
        details=_details(manifest, study),
        columns=columns,
        columns_left_out=left_out,
        training=training,
        training_facts=[] if training is None else training_facts(training),
        noise_in_rounds=in_rounds,
        noise_in_scores=in_scores,
        comparison=comparison_of(manifest),
        accuracy_facts=[*score_facts(manifest), *gate_facts(manifest)],
        cost_facts=_cost(manifest),
        caveats=_caveats(manifest),
    )


def _study(manifest: Manifest) -> Study | None:
    """The study, if this version can read it and it is the one that the digest names."""
    if manifest.study is None:
        return None
    try:
        study = study_from_json(json.dumps(manifest.study))
    except StudyError:
        return None
    return study if study.digest == manifest.study_digest else None


def _headlines(manifest: Manifest, training: Training | None) -> Facts:
    found = [headline(manifest), _privacy_headline(manifest.privacy)]
    if training is not None and training.rows:
        by = plural(training.participants or 1, "participant")
        found.append((number(training.rows), f"rows of {by} were trained on"))
    if manifest.cost is not None:
        where = plural(manifest.cost.cores, "core")
        found.append((seconds(manifest.cost.run), f"to run a row encrypted, on {where}"))
    return found


def _privacy_headline(privacy: PrivacyStatement | None) -> tuple[str, str]:
    if privacy is None or privacy.origin != "federated":
        return "no claim", "about the privacy of the rows it was trained on"
    guarantee = privacy.differential_privacy
    if guarantee is not None:
        whom = "one row" if guarantee.unit == "row" else "one participant with all its rows"
        return f"ε = {guarantee.epsilon:g}", f"differential privacy for {whom}"
    if privacy.secure_aggregation:
        return "sums only", "is what the coordinator learned of updates"
    return "each update", "was seen by the coordinator"


def _details(manifest: Manifest, study: Study | None) -> Facts:
    circuit = manifest.circuit
    bootstraps = "with" if circuit.programmable_bootstraps else "without"
    facts = [
        ("Estimator", manifest.estimator),
        ("Published", manifest.created),
        ("Study", "none" if manifest.study_digest is None else manifest.study_digest),
    ]
    if study is None and manifest.study is not None:
        facts.append(("Study's document", "not shown: of another study or version of Blindfit"))
    if study is not None:
        given = [f"{clean(k)} = {clean(str(v))}" for k, v in study.model.params.items()]
        facts.insert(1, ("Hyper-parameters", "; ".join(given[:_MOST_PARAMETERS]) or "defaults"))
    versions = [f"{clean(name)} {clean(text)}" for name, text in manifest.packages.items()]
    return [
        *facts,
        ("Quantization", f"{circuit.n_bits} bits for inputs and weights"),
        ("Circuit", f"{circuit.inputs:,} inputs, {plural(circuit.outputs, 'output')}, integers of "
                    f"up to {circuit.bits} bits, {bootstraps} programmable bootstraps"),
        ("Crypto parameters", circuit.params_id),
        ("Made with", ", ".join(versions[:_MOST_PARAMETERS]) or "not told"),
    ]  # fmt: skip


def _noise(privacy: PrivacyStatement | None) -> tuple[str, str]:
    """What to say beside numbers of rounds, and beside scores; nothing without noise."""
    guarantee = None if privacy is None else privacy.differential_privacy
    if guarantee is None:
        return "", ""
    metrics = "come from models with noise"
    if guarantee.noisy_metrics:
        metrics = "carry noise, and come from models with noise"
    again = "The same training run again would give other numbers."
    return (
        f"These numbers {metrics}, which was added for differential privacy. {again}",
        f"The model was trained with noise, for differential privacy. {again}",
    )


def _cost(manifest: Manifest) -> Facts:
    circuit, cost = manifest.circuit, manifest.cost
    sizes = [
        ("Sent for a row", size(circuit.input.length)),
        ("Received for a row", size(circuit.output.length)),
        ("Evaluation keys, once", size(circuit.evaluation_keys.length)),
    ]
    if cost is None:
        return sizes
    return [
        *sizes,
        ("Encrypting, on the client", seconds(cost.encrypt)),
        ("Running, on the server", seconds(cost.run)),
        ("Decrypting, on the client", seconds(cost.decrypt)),
        ("Measured", f"medians of {plural(cost.rows, 'row')}, one at a time, when this version was "
                     f"published, on {plural(cost.cores, 'core')}"),
    ]  # fmt: skip


def _caveats(manifest: Manifest) -> list[str]:
    scored = manifest.evaluation
    return [
        "The study states no intended use, and no score is broken down by groups of people. Look "
        "into both before decisions about people rest on this model.",
        *(
            ["Nobody gave labelled rows to score this version on when it was published."]
            if scored is None
            else []
        ),
        *(
            ["It was scored on rows that it was trained on. Expect less of it on other rows."]
            if scored is not None and scored.source == "training"
            else []
        ),
        "Encryption hides rows and predictions from the server. It does not prove that the server "
        "runs this circuit.",
        "Rows outside the bounds of the schema are refused, or moved to the bound if the client "
        "says so.",
    ]


__all__ = ["Content", "content_of"]
