"""A backup of a whole key store in one sealed file, for recovery recipients.

It holds the manifest, the audit log, every keyset, and the keys that open them, whatever they were
sealed for. It does not hold the identity towards the server: a new machine enrolls anew.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import BinaryIO

from keys.backup_header import BACKUP, BackupHeader
from keys.backup_members import Member, MemberWriter
from keys.chunks import ChunkWriter
from keys.destruction import format_moment
from keys.envelope import write_envelope
from keys.inventory import KeyRecord
from keys.sealed_files import SealedFiles
from keys.signatures import PrivateKey, public_bytes
from keys.stanzas import DATA_KEY_BYTES, Opener, Recipient
from keys.wiping import Unshared, wiped


@dataclass(frozen=True)
class Snapshot(Unshared):
    """A store at one moment: whoever writes it holds the store's lock.

    ``records`` are the keysets that have a file; ``opener`` opens them.
    """

    seed: bytearray = field(repr=False)
    manifest: bytes
    audit: bytes
    records: Sequence[KeyRecord]
    files: SealedFiles
    opener: Opener


def write_backup(file: BinaryIO, snapshot: Snapshot, recipients: Sequence[Recipient]) -> None:
    """Write the store to ``file`` so that each of ``recipients`` can restore it.

    Every keyset is opened and checked whole before: one that is damaged would make the backup
    useless. Raises `SealError` or `AccessError` for it, before anything is written.
    """
    with wiped(_secrets(snapshot)) as secrets:
        members = _begin(file, snapshot, recipients)
        members.write(Member.SECRETS, secrets)
    members.write(Member.MANIFEST, snapshot.manifest)
    members.write(Member.AUDIT, snapshot.audit)
    for record in snapshot.records:
        with snapshot.files.read(record.key_id) as source:
            members.copy(Member.KEYSET, source)
    members.finish()


def _secrets(snapshot: Snapshot) -> bytearray:
    secrets = bytearray(snapshot.seed)
    for key_id, commitment in ((r.key_id, r.commitment) for r in snapshot.records):
        files, opener = snapshot.files, snapshot.opener
        with wiped(files.committed_data_key(key_id, opener, commitment)) as data_key:
            with files.open(key_id, files.opener_of(key_id, data_key)):
                pass
            secrets += bytes.fromhex(key_id) + data_key
    return secrets


def _begin(file: BinaryIO, snapshot: Snapshot, recipients: Sequence[Recipient]) -> MemberWriter:
    public = public_bytes(PrivateKey.from_private_bytes(bytes(snapshot.seed)))
    header = BackupHeader(created=format_moment(datetime.now(UTC)), store=public.hex())
    with wiped(bytearray(os.urandom(DATA_KEY_BYTES))) as data_key:
        stanzas = [recipient.wrap(data_key) for recipient in recipients]
        context = write_envelope(file, BACKUP, header.encode(), stanzas, data_key)
        with wiped(BACKUP.derive_key(data_key, "payload")) as key:
            return MemberWriter(ChunkWriter(file, key, context))


__all__ = ["Snapshot", "write_backup"]
