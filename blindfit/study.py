"""The study: the public contract of one training, a TOML file with a digest all parties pin."""

from __future__ import annotations

import hashlib
import json
import tomllib
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, ValidationError, model_validator

from blindfit.app_digest import APP_SHA256
from blindfit.errors import StudyError
from blindfit.manifest import MODEL_NAME, SHA256
from blindfit.privacy import PrivacySection
from blindfit.roster import MAX_MEMBERS, Member, Roster, require_distinct
from blindfit.schema import Schema, Strict

EstimatorName = Literal[
    "LogisticRegression",
    "LinearSVC",
    "SGDClassifier",
    "LinearRegression",
    "Ridge",
    "Lasso",
    "ElasticNet",
    "SGDRegressor",
    "LinearSVR",
    "PoissonRegressor",
    "GammaRegressor",
    "TweedieRegressor",
]
CLASSIFIERS = frozenset({"LogisticRegression", "LinearSVC", "SGDClassifier"})
MAX_STUDY_BYTES = 1 << 20
_DIGEST_CONTEXT = b"blindfit study v2\n"


class StudySection(Strict):
    """``[study]``: what it is called."""

    name: str = Field(pattern=MODEL_NAME)
    # SHA-256 of the Flower app (FAB) that participants accept. It names code of the installed
    # Blindfit, so all parties of a study have the same app version.
    app: str = Field(default=APP_SHA256, pattern=SHA256)


class ModelSection(Strict):
    """``[model]``: a scikit-learn class and its hyper-parameters."""

    estimator: EstimatorName
    params: dict[str, Any] = Field(default_factory=dict)


class EarlyStop(Strict):
    """``[federation.early_stop]``: end when the participants' metric stops to improve.

    ``patience`` rounds in a row that are not better than the best by ``min_delta`` end the
    training.
    """

    metric: Literal["loss", "accuracy", "r2"] = "loss"
    patience: int = Field(default=3, ge=1, le=10_000)
    min_delta: float = Field(default=0.0, ge=0)


class FederationSection(Strict):
    """``[federation]``: how the participants' updates become one model."""

    algorithm: Literal["fedavg"] = "fedavg"
    rounds: int = Field(default=5, ge=1, le=10_000)
    min_participants: int = Field(default=2, ge=1, le=100_000)
    round_timeout: float = Field(default=600.0, gt=0, le=86_400)  # seconds
    join_timeout: float = Field(default=600.0, gt=0, le=604_800)  # seconds
    early_stop: EarlyStop | None = None


class FheSection(Strict):
    """``[fhe]``: the precision of the quantized model."""

    n_bits: int = Field(default=8, ge=2, le=12)


class Study(Strict):
    """One training, as its parties agreed on it."""

    study: StudySection
    model: ModelSection
    federation: FederationSection = FederationSection()
    privacy: PrivacySection = PrivacySection()
    fhe: FheSection = FheSection()
    # Who may take part. Without a list the coordinator says who does, and could invent some.
    participants: tuple[Member, ...] = Field(default=(), max_length=MAX_MEMBERS)
    schema_: Schema = Field(alias="schema")

    @model_validator(mode="after")
    def _participants_differ(self) -> Self:
        require_distinct(self.participants)
        return self

    @model_validator(mode="after")
    def _metric_fits_target(self) -> Self:
        stop = self.federation.early_stop
        other = "r2" if self.schema_.is_classification else "accuracy"
        if stop is not None and stop.metric == other:
            raise ValueError(f"federation.early_stop.metric {other} does not fit the target")
        if stop is not None and stop.metric == "loss" and self.privacy.participants is not None:
            raise ValueError(
                "federation.early_stop.metric loss is not told with privacy.participants"
            )
        return self

    @model_validator(mode="after")
    def _target_fits_estimator(self) -> Self:
        name = self.model.estimator
        if (name in CLASSIFIERS) != self.schema_.is_classification:
            needs = "schema.classes" if name in CLASSIFIERS else "schema.target_range"
            raise ValueError(f"model.estimator {name} needs {needs}")
        return self

    @property
    def name(self) -> str:
        """The study's name, which is also its model's."""
        return self.study.name

    @property
    def algorithm(self) -> str:
        """How the model is learned: averaged fits, or steps along clipped gradients."""
        return "gradient" if self.privacy.records else self.federation.algorithm

    def roster(self) -> Roster | None:
        """The participants, if the study names them."""
        return Roster(members=self.participants) if self.participants else None

    def canonical(self) -> bytes:
        """The study as canonical JSON: defaults spelled out, keys sorted, no white space."""
        document = self.model_dump(mode="json", by_alias=True)
        return json.dumps(document, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()

    @property
    def digest(self) -> str:
        """SHA-256 over the canonical JSON, in hex; white space and comments do not change it."""
        return hashlib.sha256(_DIGEST_CONTEXT + self.canonical()).hexdigest()


def parse_study(text: str, *, source: str = "study.toml") -> Study:
    """The study in a TOML text; raises `StudyError` that names every wrong key."""
    try:
        return Study.model_validate(tomllib.loads(text))
    except tomllib.TOMLDecodeError as error:
        raise StudyError(f"{source} is not valid TOML: {error}") from error
    except ValidationError as error:
        raise StudyError(f"{source}: {_explain(error)}") from error


def load_study(path: Path) -> Study:
    """The study in a TOML file; raises `StudyError`."""
    try:
        if path.stat().st_size > MAX_STUDY_BYTES:
            raise StudyError(f"{path} is larger than {MAX_STUDY_BYTES} bytes")
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise StudyError(f"cannot read {path}: {error}") from error
    return parse_study(text, source=str(path))


def study_from_json(document: bytes | str) -> Study:
    """The study in its canonical JSON, as a peer sends it; raises `StudyError`."""
    try:
        return Study.model_validate_json(document)
    except ValidationError as error:
        raise StudyError(f"the study: {_explain(error)}") from error


def _explain(error: ValidationError) -> str:
    items = error.errors(include_url=False)
    # A list whose items are wrong is also reported as too short; only the items are worth reading.
    causes = [item for item in items if not (item["type"] == "too_short" and len(items) > 1)]
    lines = [f"{_key(item['loc'])}: {_reason(item)}" for item in causes]
    return lines[0] if len(lines) == 1 else "\n  " + "\n  ".join(lines)


def _key(location: tuple[int | str, ...]) -> str:
    """``("schema", "features", 3, "number", "min")`` becomes ``schema.features[3].min``."""
    tags = {"number", "category", "text"}
    key = ""
    for index, part in enumerate(location):
        if isinstance(part, int):
            key += f"[{part}]"
        elif not (part in tags and index and isinstance(location[index - 1], int)):
            key += f".{part}" if key else part
    return key or "study"


def _reason(item: Any) -> str:
    kind, message = item["type"], item["msg"]
    if kind == "extra_forbidden":
        return "unknown key"
    if kind == "missing":
        return "is missing"
    given = "" if kind in {"value_error"} else f" (got {item.get('input')!r:.80})"
    return f"{message.removeprefix('Value error, ')}{given}"
