"""``blindfit-keys rotate --identity``: the mTLS key and certificate."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from blindfit.channel import ServerChannel
from blindfit.console import emit, say
from keys.commands.connection import report_step
from keys.identity import Identity, load_identity
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
    rotated = renew(request.home, _connect, report_step)
    emit(
        {"rotated": True, "old_certificate": rotated.old, "new_certificate": rotated.new},
        request.as_json,
        lambda: print(f"certificate {rotated.new[:12]} in place of {rotated.old[:12]}"),
    )


@contextmanager
def _connect(identity: Identity) -> Iterator[ServerChannel]:
    with ServerChannel.connect(
        identity.address, identity.ca_pem, identity.certificate_pem, identity.key_pem
    ) as channel:
        yield channel


__all__ = ["rotate_identity"]
