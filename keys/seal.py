"""Sealing a keyset into a file and opening it again (``docs/keyset-format.md``, version 1).

Both stream: beside the keys themselves no more than a chunk is in memory.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from typing import BinaryIO

from blindfit.errors import PassphraseError, SealError
from keys.access import SECRET_ACCESS
from keys.assembly import KeysetAssembly
from keys.chunks import ChunkWriter, read_chunks
from keys.description import KeysetDescription, decode_description, encode_description
from keys.envelope import KEYSET, Envelope, read_envelope, write_envelope
from keys.keyset import Keyset
from keys.stanzas import DATA_KEY_BYTES, Opener, Recipient
from keys.wiping import wipe, wiped


def seal(keyset: Keyset, file: BinaryIO, recipients: Sequence[Recipient]) -> None:
    """Write ``keyset`` to ``file`` so that each of ``recipients`` (1 to 20) can open it."""
    with wiped(bytearray(os.urandom(DATA_KEY_BYTES))) as data_key:
        stanzas = [recipient.wrap(data_key) for recipient in recipients]
        header = encode_description(keyset.description)
        context = write_envelope(file, KEYSET, header, stanzas, data_key)
        with wiped(KEYSET.derive_key(data_key, "payload")) as key:
            chunks = ChunkWriter(file, key, context)
    chunks.write(keyset.secret_view(SECRET_ACCESS))
    chunks.write(keyset.evaluation_keys)
    chunks.finish()


def unseal(file: BinaryIO, opener: Opener, *, key_id: str) -> Keyset:
    """The keyset in ``file``, which must be ``key_id``.

    Raises `PassphraseError` if ``opener`` is not one that it was sealed for, `SealError` for a
    file that was changed, cut, or belongs to another keyset.
    """
    envelope, description = _read_head(file)
    if description.key_id != key_id:
        raise SealError(f"this is key {description.key_id[:12]} where {key_id[:12]} should be")
    with (
        wiped(unwrap_envelope(envelope, opener)) as data_key,
        wiped(KEYSET.derive_key(data_key, "payload")) as key,
    ):
        pieces = read_chunks(file, key, envelope.context, _payload_bytes(description))
        return KeysetAssembly(description).take(pieces)


def open_data_key(file: BinaryIO, opener: Opener) -> bytearray:
    """The data key of a sealed keyset whose header is authentic, for `rewrap`; wipe it.

    Reads no payload. Raises `PassphraseError` and `SealError` as `unseal` does.
    """
    envelope, _ = _read_head(file)
    return unwrap_envelope(envelope, opener)


def rewrap(
    source: BinaryIO,
    target: BinaryIO,
    data_key: bytes | bytearray,
    recipients: Sequence[Recipient],
) -> None:
    """Write the keyset in ``source`` to ``target`` with stanzas for ``recipients`` instead.

    The payload is copied as it is: damage in it stays, for `unseal` to find. An old copy of
    ``source`` opens as before. Raises `SealError` unless ``data_key`` is that of ``source``.
    """
    envelope, _ = _read_head(source)
    envelope.verify(data_key)
    stanzas = [recipient.wrap(data_key) for recipient in recipients]
    write_envelope(target, KEYSET, envelope.header, stanzas, data_key)
    shutil.copyfileobj(source, target)


def read_description(file: BinaryIO) -> KeysetDescription:
    """What a sealed file says about itself; needs no passphrase and is not authenticated."""
    return _read_head(file)[1]


def unwrap_envelope(envelope: Envelope, opener: Opener) -> bytearray:
    """The data key by any stanza of the opener's kind, if it wrote the envelope's MAC; wipe it.

    Raises `PassphraseError` if none opens, `SealError` if there is none or the MAC is wrong.
    """
    refusal: PassphraseError | None = None
    for stanza in envelope.stanzas:
        if stanza.get("kind") == opener.kind:
            try:
                return _verified(envelope, opener.unwrap(stanza))
            except PassphraseError as error:
                refusal = error
    raise refusal or SealError(
        f"the {envelope.kind.name} was not sealed for {opener.kind}",
        hint=f"open it by one of: {_kinds(envelope)}",
    )


def _kinds(envelope: Envelope) -> str:
    known = {"argon2id", "keyring", "x25519-hpke"}  # what a file says may be anything
    return ", ".join(sorted(known & {str(s.get("kind")) for s in envelope.stanzas})) or "nothing"


def _verified(envelope: Envelope, data_key: bytearray) -> bytearray:
    try:
        envelope.verify(data_key)
    except SealError:
        wipe(data_key)
        raise
    return data_key


def _read_head(file: BinaryIO) -> tuple[Envelope, KeysetDescription]:
    envelope = read_envelope(file, KEYSET)
    return envelope, decode_description(envelope.header)


def _payload_bytes(description: KeysetDescription) -> int:
    return description.secret_bytes + description.evaluation_bytes


__all__ = ["open_data_key", "read_description", "rewrap", "seal", "unseal", "unwrap_envelope"]
