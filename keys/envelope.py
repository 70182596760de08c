"""What stands before the payload of a sealed file: magic, description, stanzas, checksum, MAC.

The checksum has no key: it tells a damaged file from a wrong passphrase. The MAC, under a key that
only the data key gives, tells a forged one.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import struct
from dataclasses import dataclass
from typing import Any, BinaryIO, Final

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from blindfit.errors import SealError
from keys.description import KeysetDescription, decode_description, encode_description
from keys.stanzas import Stanza

MAGIC: Final = b"blindfit keyset\n"
VERSION: Final = 1
MAX_DESCRIPTION_BYTES: Final = 16 * 1024
MAX_STANZAS_BYTES: Final = 64 * 1024
MAX_STANZAS: Final = 20
_DIGEST_BYTES: Final = 32
_START: Final = struct.Struct(">16sHI")  # magic, version, length of the description
_LENGTH: Final = struct.Struct(">I")


@dataclass(frozen=True)
class Envelope:
    """A sealed file's head.

    ``described`` is all bytes up to the stanzas, ``covered`` all bytes up to the MAC.
    """

    description: KeysetDescription
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

    def verify(self, data_key: bytes) -> None:
        """Raises `SealError` unless the holder of ``data_key`` wrote all of this."""
        if not hmac.compare_digest(_mac(data_key, self.covered), self.mac):
            raise SealError("the keyset's header was changed after it was sealed")


def write_envelope(
    file: BinaryIO, description: KeysetDescription, stanzas: list[Stanza], data_key: bytes
) -> bytes:
    """Write everything before the payload; returns the context of the chunks."""
    encoded = encode_description(description)
    described = _START.pack(MAGIC, VERSION, len(encoded)) + encoded
    listed = json.dumps([dict(s) for s in stanzas], sort_keys=True, separators=(",", ":")).encode()
    covered = described + _LENGTH.pack(len(listed)) + listed
    covered += hashlib.sha256(covered).digest()
    file.write(covered + _mac(data_key, covered))
    return hashlib.sha256(described).digest()


def read_envelope(file: BinaryIO) -> Envelope:
    """The head of a sealed file, undamaged but not authenticated yet; raises `SealError`."""
    start = _read(file, _START.size)
    magic, version, length = _START.unpack(start)
    if magic != MAGIC:
        raise SealError("not a sealed keyset")
    if version != VERSION:
        raise SealError(
            f"the keyset has format version {version}; this program reads {VERSION}",
            hint="use a newer blindfit, or restore the keyset from a backup",
        )
    encoded = _read(file, _bounded(length, MAX_DESCRIPTION_BYTES))
    described = start + encoded
    size = _read(file, _LENGTH.size)
    listed = _read(file, _bounded(_LENGTH.unpack(size)[0], MAX_STANZAS_BYTES))
    covered = described + size + listed
    checksum = _read(file, _DIGEST_BYTES)
    if hashlib.sha256(covered).digest() != checksum:
        raise SealError("the keyset's header is damaged")
    return Envelope(
        description=decode_description(encoded),
        stanzas=_stanzas(listed),
        described=described,
        covered=covered + checksum,
        mac=_read(file, _DIGEST_BYTES),
    )


def derive_key(data_key: bytes, purpose: bytes) -> bytes:
    """A 32-byte key for one purpose (HKDF-SHA256, RFC 5869, without salt)."""
    return HKDF(SHA256(), 32, salt=None, info=b"blindfit keyset v1 " + purpose).derive(data_key)


def _mac(data_key: bytes, covered: bytes) -> bytes:
    return hmac.digest(derive_key(data_key, b"header"), covered, "sha256")


def _stanzas(listed: bytes) -> tuple[Stanza, ...]:
    try:
        stanzas: Any = json.loads(listed)
    except (ValueError, RecursionError) as error:
        raise SealError(f"the keyset's stanzas are damaged: {error}") from error
    if not isinstance(stanzas, list) or not 1 <= len(stanzas) <= MAX_STANZAS:
        raise SealError(f"a keyset has 1 to {MAX_STANZAS} stanzas")
    if not all(isinstance(stanza, dict) for stanza in stanzas):
        raise SealError("a stanza is not an object")
    return tuple(stanzas)


def _read(file: BinaryIO, size: int) -> bytes:
    content = file.read(size)
    if len(content) != size:
        raise SealError("the keyset was cut")
    return content


def _bounded(length: int, limit: int) -> int:
    if length > limit:
        raise SealError("the keyset's header is damaged")
    return length


__all__ = [
    "MAGIC",
    "VERSION",
    "Envelope",
    "derive_key",
    "read_envelope",
    "write_envelope",
]
