"""The manifest: everything that is published about a model version, in one signed document."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from blindfit.frame import Frame
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
    """Real encrypted executions before publishing, and how many gave the quantized output."""

    rows: int = Field(gt=0)
    agreed: int = Field(gt=0)


class Manifest(Strict):
    """A model version. Its files are those of ``files``; ``schema`` tells how to encode a row."""

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

    def to_bytes(self) -> bytes:
        """The document as it is signed."""
        return self.model_dump_json(by_alias=True, indent=1).encode()
