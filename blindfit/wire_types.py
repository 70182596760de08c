"""What travels over gRPC, as plain frozen dataclasses. ``wire.py`` turns them to protobuf."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import Final, Literal

KeyState = Literal["UPLOADING", "STAGED", "ACTIVE", "RETIRING", "REVOKED", "DELETED"]
REFUSED: Final[frozenset[KeyState]] = frozenset({"REVOKED", "DELETED"})
"""States in which the server refuses a key for good."""


@dataclass(frozen=True)
class KeyStatus:
    """An evaluation key as the server has it; sizes in bytes."""

    key_id: str
    params_id: str
    state: KeyState
    size: int
    received: int


@dataclass(frozen=True)
class ModelSummary:
    """A line of the list of models."""

    model: str
    version: int
    current: bool
    estimator: str
    params_id: str
    created: str


@dataclass(frozen=True)
class PredictCall:
    """An encrypted row and what it is to be run with."""

    request_id: str
    model: str
    version: int
    key_id: str
    ciphertext: bytes
    prove: bool = False

    @classmethod
    def create(
        cls, model: str, version: int, key_id: str, ciphertext: bytes, *, prove: bool = False
    ) -> PredictCall:
        """A call with a request_id of its own, which nobody can guess."""
        return cls(secrets.token_hex(16), model, version, key_id, ciphertext, prove)


@dataclass(frozen=True)
class PredictReply:
    """An encrypted result and what it answers; ``run_seconds`` is the circuit's time alone."""

    request_id: str
    model: str
    version: int
    key_id: str
    ciphertext: bytes
    run_seconds: float


@dataclass(frozen=True)
class Enrolled:
    """A tenant's name and its new certificate."""

    tenant: str
    certificate_pem: bytes


@dataclass(frozen=True)
class ErrorDetail:
    """Why a call failed, as a peer tells it; untrusted text."""

    reason: str
    message: str
    hint: str
    details: dict[str, str]
