"""The payload of a backup: members one after the other, each behind its kind and its length."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from enum import IntEnum
from typing import BinaryIO, Final

from blindfit.errors import SealError
from keys.chunks import ChunkWriter
from keys.wiping import wipe

_HEAD: Final = struct.Struct(">BQ")  # kind, length in bytes
_COPY_BYTES: Final = 1 << 16
_SMALL_BYTES: Final = 64 << 20  # at most this much is read into memory


class Member(IntEnum):
    """What a member holds. They come in this order, KEYSET as often as there are keysets."""

    SECRETS = 1  # the store's seed, then key_id and data key of each keyset
    MANIFEST = 2
    AUDIT = 3
    KEYSET = 4  # a whole sealed file
    END = 5


class MemberWriter:
    """Writes members into the chunks of a backup."""

    def __init__(self, chunks: ChunkWriter):
        self._chunks = chunks

    def write(self, member: Member, content: bytes | bytearray) -> None:
        """A member that is in memory."""
        self._chunks.write(_HEAD.pack(member, len(content)))
        self._chunks.write(content)

    def copy(self, member: Member, source: BinaryIO) -> None:
        """A member from a file, from its beginning to its end."""
        length = source.seek(0, 2)
        source.seek(0)
        self._chunks.write(_HEAD.pack(member, length))
        while piece := source.read(min(_COPY_BYTES, length)):
            self._chunks.write(piece)
            length -= len(piece)
        if length:
            raise SealError("a file became shorter while it was backed up")

    def finish(self) -> None:
        """The end of the members and of the chunks."""
        self._chunks.write(_HEAD.pack(Member.END, 0))
        self._chunks.finish()


class MemberReader:
    """Reads what `MemberWriter` wrote, from authenticated pieces of payload.

    Raises `SealError` for another order, and for bytes that are missing or too many.
    """

    def __init__(self, pieces: Iterator[bytearray]):
        self._pieces = pieces
        self._left = memoryview(bytearray())

    def read(self, member: Member) -> bytearray:
        """The next member, which must be this one."""
        length = self._expect(member)
        if length > _SMALL_BYTES:
            raise SealError(f"the backup's {member.name} is too large")
        content = bytearray(length)
        position = 0
        for piece in self._take(length):
            content[position : position + len(piece)] = piece
            position += len(piece)
        return content

    def copy(self, member: Member, target: BinaryIO) -> None:
        """The next member, which must be this one, into a file."""
        for piece in self._take(self._expect(member)):
            target.write(piece)

    def finish(self) -> None:
        """Require the end: only now is the backup known to be whole."""
        if self._expect(Member.END) or len(self._left) or next(self._pieces, None) is not None:
            raise SealError("the backup has something behind its end")

    def _expect(self, member: Member) -> int:
        head = b"".join(bytes(piece) for piece in self._take(_HEAD.size))
        kind, length = _HEAD.unpack(head)
        if kind != member:
            raise SealError(f"the backup has something else where its {member.name} should be")
        return int(length)

    def _take(self, length: int) -> Iterator[memoryview]:
        """The next bytes, piece by piece; each is wiped when the next is asked for."""
        while length:
            if not len(self._left):
                self._left = memoryview(self._next())
            piece, self._left = self._left[:length], self._left[length:]
            length -= len(piece)
            yield piece
            wipe(piece)

    def _next(self) -> bytearray:
        piece = next(self._pieces, None)
        if piece is None:
            raise SealError("the backup was cut")
        return piece


__all__ = ["Member", "MemberReader", "MemberWriter"]
