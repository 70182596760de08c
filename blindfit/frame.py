"""The fixed frame of a serialized ciphertext or key, checked before a native deserializer reads it.

Concrete serializes with Cap'n Proto, whose bytes say themselves how they are to be read: pointers,
list lengths, segment sizes. Bytes that lie about these have killed the process that reads them. Two
honest ciphertexts of one circuit, however, differ only in their encrypted payload, which is
uniformly random. So everything else is measured when a circuit is published, and a peer's bytes
must repeat it exactly: no parser of ours is needed, and nothing but random words can be chosen.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from pydantic import Field

from blindfit.errors import CiphertextError
from blindfit.schema import Strict

WORD = 8  # bytes; Cap'n Proto's unit


class FixedRun(Strict):
    """Bytes that every honest message has at ``offset`` (bytes)."""

    offset: int = Field(ge=0)
    content: str = Field(pattern=r"^([0-9a-f]{2})+$")


class Frame(Strict):
    """What honest messages have in common: their length (bytes) and their fixed runs."""

    length: int = Field(gt=0)
    fixed: tuple[FixedRun, ...] = Field(min_length=1)

    @classmethod
    def measure(cls, samples: Sequence[bytes]) -> Frame:
        """The frame of independent honest messages; two suffice (a word repeats at 2**-64).

        Raises ValueError when they differ in length or hold no whole words.
        """
        if len(samples) < 2 or len({len(sample) for sample in samples}) != 1:
            raise ValueError("a frame is measured on two or more messages of equal length")
        words = np.stack([np.frombuffer(sample, dtype="<u8") for sample in samples])
        same = (words == words[0]).all(axis=0)
        edges = np.flatnonzero(np.diff(np.concatenate([[False], same, [False]]).astype(np.int8)))
        runs = [
            FixedRun(offset=int(a) * WORD, content=samples[0][a * WORD : b * WORD].hex())
            for a, b in zip(edges[::2], edges[1::2], strict=True)
        ]
        return cls(length=len(samples[0]), fixed=tuple(runs))

    def check(self, message: bytes, what: str = "ciphertext") -> None:
        """Raise `CiphertextError` unless ``message`` has this frame."""
        if len(message) != self.length:
            raise CiphertextError(
                f"the {what} has {len(message)} bytes; this circuit takes {self.length}"
            )
        for run in self.fixed:
            content = bytes.fromhex(run.content)
            if message[run.offset : run.offset + len(content)] != content:
                raise CiphertextError(f"the {what} does not have this circuit's format")
