"""Looks for secret keys and plaintext rows in bytes that a server received or stored."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

_BITS = 64  # of a secret key in one needle: chance never produces them
_BLOCK = 4096
_ANCHOR = 8  # bytes
_VARIED = 6  # distinct values that a piece of a row needs to be telling


def secret_key_needles(serialized: bytes) -> dict[str, bytes]:
    """Pieces of a binary LWE secret key as words, bytes and packed bits, by what they are."""
    bits = _key_bits(serialized)
    needles = {}
    for start in range(0, len(bits) - _BITS + 1, _BITS):
        piece = bits[start : start + _BITS]
        name = f"secret key bits {start} to {start + _BITS}"
        needles[f"{name} as words"] = piece.astype("<u8").tobytes()
        needles[f"{name} as bytes"] = piece.astype(np.uint8).tobytes()
        needles[f"{name} packed"] = np.packbits(piece.astype(np.uint8)).tobytes()
        little = np.packbits(piece.astype(np.uint8), bitorder="little")
        needles[f"{name} packed, little-endian"] = little.tobytes()
    return needles


def _key_bits(serialized: bytes) -> NDArray[np.uint64]:
    """The longest run of words that are 0 or 1: Concrete stores a bit in a word."""
    words = np.frombuffer(serialized[: len(serialized) // 8 * 8], dtype="<u8")
    binary = np.concatenate([[False], words <= 1, [False]])
    edges = np.flatnonzero(np.diff(binary.astype(np.int8)))
    starts, ends = edges[::2], edges[1::2]
    longest = int(np.argmax(ends - starts))
    return words[starts[longest] : ends[longest]]


def row_needles(
    raw: NDArray[np.float64], encoded: NDArray[np.float64], quantized: NDArray[np.int64]
) -> dict[str, bytes]:
    """Telling pieces of each row, in the ways in which a program would write it down."""
    needles = {}
    for index in range(len(raw)):
        text = [f"{value:g}" for value in raw[index]]
        forms = {
            "as CSV": ",".join(text[16:48]).encode(),
            "as JSON": ", ".join(text[16:48]).encode(),
            "as bytes": raw[index, 16:48].astype(np.uint8).tobytes(),
            "as raw float64": raw[index, 16:32].astype("<f8").tobytes(),
            "as float64": encoded[index, 16:32].astype("<f8").tobytes(),
            "as float32": encoded[index, 16:48].astype("<f4").tobytes(),
            "as quantized int64": quantized[index, 16:32].astype("<i8").tobytes(),
        }
        if len(np.unique(raw[index, 16:32])) >= _VARIED:
            needles.update(
                {
                    f"row {index + 1} {form}": piece
                    for form, piece in forms.items()
                    if len(set(piece)) >= _VARIED // 2
                }
            )
    return needles


def find_any(corpus: Iterable[bytes], needles: dict[str, bytes]) -> list[str]:
    """The names of the needles that occur in any of the ``corpus``; each has 8 bytes or more."""
    anchored: dict[int, list[tuple[str, bytes, int]]] = {}
    for name, needle in needles.items():
        offset = _most_varied(needle)
        anchor = int.from_bytes(needle[offset : offset + _ANCHOR], "little")
        anchored.setdefault(anchor, []).append((name, needle, offset))
    anchors = np.array(sorted(anchored), dtype="<u8")
    found: set[str] = set()
    for content in corpus:
        if len(content) < _ANCHOR:
            continue
        # A view of the 8 bytes at every offset, so that one pass looks for all needles.
        count = len(content) - _ANCHOR + 1
        windows: NDArray[np.uint64] = np.ndarray((count,), "<u8", buffer=content, strides=(1,))
        for position in np.flatnonzero(np.isin(windows, anchors)):
            for name, needle, offset in anchored[int(windows[position])]:
                start = int(position) - offset
                if start >= 0 and content.startswith(needle, start):
                    found.add(name)
    return sorted(found)


def _most_varied(needle: bytes) -> int:
    return max(range(len(needle) - _ANCHOR + 1), key=lambda i: len(set(needle[i : i + _ANCHOR])))


def stored_files(folder: Path) -> Iterator[bytes]:
    """The contents of every file below ``folder``."""
    for path in sorted(folder.rglob("*")):
        if path.is_file() and not path.is_symlink():
            yield path.read_bytes()


class Snapshots:
    """Collects the distinct blocks that files below a folder ever held, while they change."""

    def __init__(self, folder: Path):
        self._folder = folder
        self._sizes: dict[Path, tuple[int, int]] = {}
        self._seen: set[int] = set()
        self.content = bytearray()

    def take(self) -> None:
        """Add the blocks that are new since the last time."""
        for path in sorted(self._folder.rglob("*")):
            try:
                state = path.stat()
                if not path.is_file() or self._sizes.get(path) == (
                    state.st_mtime_ns,
                    state.st_size,
                ):
                    continue
                content = path.read_bytes()
            except OSError:  # a temporary file that is gone again
                continue
            self._sizes[path] = (state.st_mtime_ns, state.st_size)
            for start in range(0, len(content), _BLOCK):
                block = content[start : start + _BLOCK]
                if hash(block) not in self._seen:
                    self._seen.add(hash(block))
                    self.content += block
