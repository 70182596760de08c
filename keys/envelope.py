"""What stands before the payload of a sealed file: magic, header, stanzas, checksum, MAC.

The checksum has no key: it tells a damaged file from a wrong passphrase. The MAC, under a key that
only the data key gives, tells a forged one. What the header says is the business of each
`SealedKind`.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, BinaryIO, Final

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from blindfit.errors import InputError, SealError
from blindfit.strict_json import canonical
from keys.stanzas import Stanza
from keys.wiping import wiped

MAX_HEADER_BYTES: Final = 16 * 1024
MAX_STANZAS_BYTES: Final = 64 * 1024
MAX_STANZAS: Final = 20
_DIGEST_BYTES: Final = 32
_START: Final = struct.Struct(">16sHI")  # magic, version, length of the header
_LENGTH: Final = struct.Struct(">I")


@dataclass(frozen=True, slots=True)
class SealedKind:
    """One kind of sealed file: ``magic`` is 16 bytes, ``name`` is in messages and derived keys."""

    magic: bytes
    version: int
    name: str

    def derive_key(self, data_key: bytes | bytearray, purpose: str) -> bytearray:
        """A 32-byte key for one purpose (HKDF-SHA256, RFC 5869, without salt), to be wiped."""
        info = f"blindfit {self.name} v{self.version} {purpose}".encode("ascii")
        key = bytearray(32)
        HKDF(SHA256(), len(key), salt=None, info=info).derive_into(data_key, key)
        return key


KEYSET: Final = SealedKind(b"blindfit keyset\n", 1, "keyset")


@dataclass(frozen=True, slots=True)
class Envelope:
    """A sealed file's head.

    ``header`` is the encoded description of its content, ``described`` all bytes up to the
    stanzas, ``covered`` all bytes up to the MAC.
    """

    kind: SealedKind
    header: bytes
    stanzas: tuple[Stanza, ...]
    described: bytes
    covered: bytes
    mac: bytes

    @property
    def context(self) -> bytes:
        """SHA-256 of ``described``: the associated data of every chunk.

        It leaves the stanzas out, so that another passphrase does not rewrite the payload.
        """
        return hashlib.sha256(self.described).digest()

    def verify(self, data_key: bytes | bytearray) -> None:
        """Raises `SealError` unless the holder of ``data_key`` wrote all of this."""
        if not hmac.compare_digest(_mac(self.kind, data_key, self.covered), self.mac):
            raise SealError(f"the {self.kind.name}'s header was changed after it was sealed")


def write_envelope(
    file: BinaryIO,
    kind: SealedKind,
    header: bytes,
    stanzas: Sequence[Stanza],
    data_key: bytes | bytearray,
) -> bytes:
    """Write everything before the payload; returns the context of the chunks.

    Raises `InputError` for more than 20 recipients, or none, and for what would not be read again.
    """
    if not 1 <= len(stanzas) <= MAX_STANZAS:
        raise InputError(f"a {kind.name} is sealed for 1 to {MAX_STANZAS}, not {len(stanzas)}")
    described = _START.pack(kind.magic, kind.version, len(header)) + header
    listed = canonical([dict(stanza) for stanza in stanzas])
    if len(header) > MAX_HEADER_BYTES or len(listed) > MAX_STANZAS_BYTES:
        raise InputError(f"the header of the {kind.name} would be too long to be read again")
    covered = described + _LENGTH.pack(len(listed)) + listed
    covered += hashlib.sha256(covered).digest()
    file.write(covered + _mac(kind, data_key, covered))
    return hashlib.sha256(described).digest()


def read_envelope(file: BinaryIO, kind: SealedKind) -> Envelope:
    """The head of a sealed file, undamaged but not authenticated yet; raises `SealError`."""
    start = _read(file, _START.size)
    magic, version, length = _START.unpack(start)
    if magic != kind.magic:
        raise SealError(f"not a sealed {kind.name}")
    if version != kind.version:
        raise SealError(
            f"the {kind.name} has format version {version}; this program reads {kind.version}",
            hint="use a newer blindfit, or restore from a backup",
        )
    header = _read(file, _bounded(length, MAX_HEADER_BYTES))
    size = _read(file, _LENGTH.size)
    listed = _read(file, _bounded(_LENGTH.unpack(size)[0], MAX_STANZAS_BYTES))
    covered = start + header + size + listed
    checksum = _read(file, _DIGEST_BYTES)
    if hashlib.sha256(covered).digest() != checksum:
        raise SealError(f"the {kind.name}'s header is damaged")
    return Envelope(
        kind=kind,
        header=header,
        stanzas=_stanzas(listed),
        described=start + header,
        covered=covered + checksum,
        mac=_read(file, _DIGEST_BYTES),
    )


def _mac(kind: SealedKind, data_key: bytes | bytearray, covered: bytes) -> bytes:
    with wiped(kind.derive_key(data_key, "header")) as key:
        return hmac.digest(key, covered, "sha256")


def _stanzas(listed: bytes) -> tuple[Stanza, ...]:
    try:
        stanzas: Any = json.loads(listed)
    except (ValueError, RecursionError) as error:
        raise SealError(f"the stanzas are damaged: {error}") from error
    if not isinstance(stanzas, list) or not 1 <= len(stanzas) <= MAX_STANZAS:
        raise SealError(f"a sealed file has 1 to {MAX_STANZAS} stanzas")
    if not all(isinstance(stanza, dict) for stanza in stanzas):
        raise SealError("a stanza is not an object")
    return tuple(stanzas)


def _read(file: BinaryIO, size: int) -> bytes:
    content = file.read(size)
    if len(content) != size:
        raise SealError("the sealed file was cut")
    return content


def _bounded(length: int, limit: int) -> int:
    if length > limit:
        raise SealError("the sealed file's header is damaged")
    return length


__all__ = ["KEYSET", "Envelope", "SealedKind", "read_envelope", "write_envelope"]
