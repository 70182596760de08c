"""What a backup says about itself (``docs/backup-format.md``, version 1).

The head and the chunks around it are those of every sealed file.
"""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass
from typing import Final

from blindfit.errors import SealError
from blindfit.strict_json import canonical, loads_strict
from keys.envelope import SealedKind

BACKUP: Final = SealedKind(b"blindfit backup\n", 1, "backup")
_DIGEST = re.compile(r"[0-9a-f]{64}")
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")


@dataclass(frozen=True, slots=True)
class BackupHeader:
    """What a backup says about itself to anybody: when it was made, and of which store.

    ``store`` is the store's public key (32 bytes, in hex).
    """

    created: str
    store: str

    def encode(self) -> bytes:
        """Canonical JSON."""
        return canonical(asdict(self))


def decode_header(encoded: bytes) -> BackupHeader:
    """The header in its canonical JSON; raises `SealError` for anything else."""
    try:
        header = BackupHeader(**loads_strict(encoded))
        valid = _TIME.fullmatch(header.created) and _DIGEST.fullmatch(header.store)
    except (ValueError, TypeError, RecursionError) as error:
        raise SealError(f"the backup's header is damaged: {error}") from error
    if not valid or header.encode() != encoded:
        raise SealError("the backup's header is not in its canonical form")
    return header


__all__ = ["BACKUP", "BackupHeader", "decode_header"]
