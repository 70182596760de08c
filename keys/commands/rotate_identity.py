"""``blindfit-keys rotate --identity``: the mTLS key and certificate."""

from __future__ import annotations

from typing import TYPE_CHECKING

from blindfit.console import emit, say
from keys.commands.connection import report_step
from keys.connecting import connect
from keys.identity import load_identity
from keys.identity_rotation import is_identity_due
from keys.identity_rotation import rotate_identity as renew
from keys.renewal import pending_renewal

if TYPE_CHECKING:
    from keys.commands.rotate import Request


def rotate_identity(request: Request) -> None:
    """Exchange the mTLS key and certificate, if they are due or half exchanged."""
    limit = request.if_older_than
    identity = load_identity(request.home)
    is_due = limit is None or is_identity_due(identity, limit)
    if not is_due and pending_renewal(request.home) is None:
        say("nothing to do: the certificate is not due")
        emit({"rotated": False}, request.as_json, lambda: None)
        return
    rotated = renew(request.home, connect, report_step)
    emit(
        {"rotated": True, "old_certificate": rotated.old, "new_certificate": rotated.new},
        request.as_json,
        lambda: print(f"certificate {rotated.new[:12]} in place of {rotated.old[:12]}"),
    )


__all__ = ["rotate_identity"]
