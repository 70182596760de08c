"""Sealing a keyset into a file and opening it again (``docs/keyset-format.md``, version 1).

Both stream: beside the keys themselves no more than a chunk is in memory.
"""

from __future__ import annotations

import io
import os
from collections.abc import Sequence
from typing import BinaryIO

from blindfit.errors import PassphraseError, SealError
from keys.access import SECRET_ACCESS
from keys.chunks import read_chunks, write_chunks
from keys.description import KeysetDescription
from keys.envelope import Envelope, derive_key, read_envelope, write_envelope
from keys.keyset import Keyset
from keys.stanzas import DATA_KEY_BYTES, Opener, Recipient


def seal(keyset: Keyset, file: BinaryIO, recipients: Sequence[Recipient]) -> None:
    """Write ``keyset`` to ``file`` so that each of ``recipients`` can open it."""
    data_key = os.urandom(DATA_KEY_BYTES)
    stanzas = [recipient.wrap(data_key) for recipient in recipients]
    context = write_envelope(file, keyset.description, stanzas, data_key)
    write_chunks(
        file,
        derive_key(data_key, b"payload"),
        context,
        keyset.secret_bytes(SECRET_ACCESS),
        keyset.evaluation_keys,
    )


def unseal(file: BinaryIO, opener: Opener, *, key_id: str) -> Keyset:
    """The keyset in ``file``, which must be ``key_id``.

    Raises `PassphraseError` if ``opener`` is not one that it was sealed for, `SealError` for a
    file that was changed, cut, or belongs to another keyset.
    """
    envelope = read_envelope(file)
    description = envelope.description
    if description.key_id != key_id:
        raise SealError(f"this is key {description.key_id[:12]} where {key_id[:12]} should be")
    data_key = _data_key(envelope, opener)
    envelope.verify(data_key)
    secret, evaluation_keys = _read_payload(file, envelope, derive_key(data_key, b"payload"))
    return Keyset(SECRET_ACCESS, description, secret, evaluation_keys)


def read_description(file: BinaryIO) -> KeysetDescription:
    """What a sealed file says about itself; needs no passphrase and is not authenticated."""
    return read_envelope(file).description


def _data_key(envelope: Envelope, opener: Opener) -> bytes:
    refusal: PassphraseError | None = None
    for stanza in envelope.stanzas:
        if stanza.get("kind") == opener.kind:
            try:
                return opener.unwrap(stanza)
            except PassphraseError as error:
                refusal = error
    raise refusal or SealError(f"the keyset was not sealed for {opener.kind}")


def _read_payload(file: BinaryIO, envelope: Envelope, key: bytes) -> tuple[bytes, bytes]:
    sizes = (envelope.description.secret_bytes, envelope.description.evaluation_bytes)
    # BytesIO grows in place and hands over its buffer: the keys are in memory once.
    secret, evaluation_keys = io.BytesIO(), io.BytesIO()
    for piece in read_chunks(file, key, envelope.context, sum(sizes)):
        missing = sizes[0] - secret.tell()
        secret.write(piece[:missing])
        evaluation_keys.write(piece[missing:])
    return secret.getvalue(), evaluation_keys.getvalue()


__all__ = ["read_description", "seal", "unseal"]
