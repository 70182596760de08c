"""Asking whether a store is the user's own, where only a recovery key vouches for it.

Anybody can make a store or a backup for a recovery key, whose public half is no secret (HPKE in
base mode, RFC 9180 §9.1): with keys that they know, for the next rows to be encrypted for.
"""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from blindfit.console import say
from blindfit.errors import InputError, IntegrityError

FingerprintOption = Annotated[
    str | None,
    typer.Option("--fingerprint", help="The store's fingerprint as you noted it; asks nothing."),
]
_WHERE = "`create`, `recipients add` and `backup` printed it"


def require_fingerprint(found: str, noted: str | None) -> None:
    """Raises `IntegrityError` unless ``found`` is the one that was ``noted``, or is confirmed.

    Raises `InputError` if nothing was noted and there is no terminal to ask on.
    """
    if noted is None:
        _ask(found)
    elif noted.strip().lower() != found:
        raise IntegrityError(
            f"this store's fingerprint is {found}, and not {noted}; nothing was changed",
            hint="if you noted yours right, somebody put their own keys there: use another backup",
        )


def note_fingerprint(fingerprint: str) -> str:
    """What to tell a person who will need it one day."""
    return (
        f"The store's fingerprint: {fingerprint}\n"
        "Note it, away from this machine: `restore` and `passphrase --recovery-key` ask for it."
    )


def _ask(found: str) -> None:
    if not sys.stdin.isatty():
        raise InputError(
            "no terminal to ask on whether this store is yours; nothing was changed",
            hint=f"pass --fingerprint TEXT with the store's fingerprint as you noted it: {_WHERE}",
        )
    say(
        f"The store's fingerprint: {found}\n"
        f"Compare it with the one that you noted ({_WHERE}).\n"
        "If it differs, somebody wants you to use keys that they know."
    )
    if not typer.confirm("Is it the same?", err=True):
        raise IntegrityError("the store's fingerprint was not confirmed; nothing was changed")


__all__ = ["FingerprintOption", "note_fingerprint", "require_fingerprint"]
