"""The manifest: everything that is published about a model version, in one signed document."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from blindfit.frame import Frame
from blindfit.privacy_statement import PrivacyStatement
from blindfit.schema import Schema, Strict

MODEL_NAME = r"^[a-z0-9][a-z0-9._-]{0,62}$"
SHA256 = r"^[0-9a-f]{64}$"

# How decrypted scores become probabilities or values; see outputs.py.
Output = Literal["softmax", "sigmoid", "one-vs-rest", "scores", "identity", "exp", "concrete"]


class FileEntry(Strict):
    """A file of the bundle."""

    sha256: str = Field(pattern=SHA256)
    size: int = Field(gt=0)


class Circuit(Strict):
    """The compiled program: its parameters, sizes (bytes) and message frames."""

    params_id: str = Field(pattern=SHA256)
    n_bits: int
    bits: int  # the widest integer inside
    inputs: int  # encoded columns
    outputs: int
    programmable_bootstraps: bool
    input: Frame
    output: Frame
    evaluation_keys: Frame

    @property
    def output_size(self) -> int:
        """Bytes of an encrypted result."""
        return self.output.length


class Probes(Strict):
    """Expected quantized outputs of two public rows, to prove a new keyset with."""

    lower: tuple[int, ...]  # of the encoded row of zeros
    upper: tuple[int, ...]  # of the encoded row of ones


class Gate(Strict):
    """Real encrypted executions before publishing, and how many gave the quantized output.

    The rows are at the bounds or random, and nobody labelled them. So the quantized model is
    compared with the float model: ``same_labels`` rows got the same class, or no value differed by
    more than ``largest_error``. Both are None where there is no float model, as of a tree.
    """

    rows: int = Field(gt=0)
    agreed: int = Field(gt=0)
    same_labels: int | None = Field(default=None, ge=0)
    largest_error: float | None = Field(default=None, ge=0)


class Evaluation(Strict):
    """The labelled rows behind the scores in ``accuracy``.

    All ``rows`` were scored in clear (``clear_...``, ``quantized_...``). A random sample of
    ``encrypted_rows`` was executed encrypted too, and on it all three are compared
    (``sample_clear_...``, ``sample_quantized_...``, ``sample_encrypted_...``).
    """

    source: Literal["training", "evaluation"]  # rows that it was trained on, or rows kept apart
    rows: int = Field(gt=0)
    encrypted_rows: int = Field(gt=0)
    agreed: int = Field(ge=0)  # of the encrypted rows: gave exactly the quantized output


class Cost(Strict):
    """Seconds that one row took on the publishing machine: medians over ``rows`` of the gate.

    Sizes are the lengths of the circuit's frames.
    """

    rows: int = Field(gt=0)
    cores: int = Field(gt=0)  # that the publishing process could use
    encrypt: float = Field(ge=0)
    run: float = Field(ge=0)
    decrypt: float = Field(ge=0)


class Manifest(Strict):
    """A model version. Its files are those of ``files``; ``schema`` tells how to encode a row.

    ``study`` is the document that ``study_digest`` is of: whoever believes it compares the two (a
    study of another version of Blindfit may not be readable here, and its model still serves). What
    a manifest of an earlier version does not have is None.
    """

    format: Literal[1]
    model: str = Field(pattern=MODEL_NAME)
    version: int = Field(ge=1)
    created: str
    study_digest: str | None = Field(pattern=SHA256)  # None: published without a study
    estimator: str
    output: Output
    schema_: Schema = Field(alias="schema")
    circuit: Circuit
    probes: Probes
    gate: Gate
    accuracy: dict[str, float]
    training: dict[str, Any]
    packages: dict[str, str]
    files: dict[str, FileEntry]
    study: dict[str, Any] | None = None
    privacy: PrivacyStatement | None = None
    evaluation: Evaluation | None = None
    cost: Cost | None = None

    def to_bytes(self) -> bytes:
        """The document as it is signed."""
        return self.model_dump_json(by_alias=True, indent=1).encode()
