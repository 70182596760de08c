"""What the daemon and a worker say to each other over their pipe.

JSON and raw bytes, never pickle: a worker may have been taken over by the bytes that it read, so
the daemon believes of its answers only what it can check.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Literal

MAX_HEADER = 64 << 10  # bytes

# "damaged": the stored key or circuit is not what was stored; "refused": the ciphertext.
Outcome = Literal["done", "refused", "damaged"]
OUTCOMES = frozenset({"done", "refused", "damaged"})


@dataclass(frozen=True)
class Job:
    """A row to run; its ciphertext follows. Hashes and salt in hex."""

    circuit: str  # SHA-256 of server.zip
    folder: str
    threads: int
    key_id: str
    salt: str
    key_path: str
    key_size: int

    def to_bytes(self) -> bytes:
        """For the pipe."""
        return json.dumps(asdict(self)).encode()

    @classmethod
    def from_bytes(cls, content: bytes) -> Job:
        """From the pipe."""
        return cls(**json.loads(content))


@dataclass(frozen=True)
class Answer:
    """What became of a job, and what the worker holds now; a result follows if it is done."""

    outcome: Outcome
    text: str
    seconds: float
    circuits: tuple[str, ...]
    keys: tuple[str, ...]

    def to_bytes(self) -> bytes:
        """For the pipe."""
        return json.dumps(asdict(self)).encode()

    @classmethod
    def from_bytes(cls, content: bytes) -> Answer:
        """From the pipe; raises ValueError for anything malformed."""
        try:
            document = json.loads(content)
            if document["outcome"] not in OUTCOMES:
                raise ValueError("unknown outcome")
            return cls(
                document["outcome"],
                str(document["text"])[:500],
                float(document["seconds"]),
                tuple(map(str, document["circuits"])),
                tuple(map(str, document["keys"])),
            )
        except (KeyError, TypeError, OverflowError, RecursionError) as error:
            raise ValueError(f"malformed answer: {error}") from error
