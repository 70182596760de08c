"""What to do when a file of the key store is damaged or missing."""

from __future__ import annotations


def put_back(name: str) -> str:
    """The hint for the file ``name`` in ``<home>/keys``."""
    return (
        f"put keys/{name} back from a copy of this home; without one, move the folder keys/ away "
        'and run `blindfit-keys restore BACKUP` (docs/keys.md, "A file is damaged")'
    )


__all__ = ["put_back"]
