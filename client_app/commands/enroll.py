"""`blindfit-client enroll`: from an invitation to a client certificate."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from blindfit.console import HomeOption, JsonOption, emit

if TYPE_CHECKING:
    from blindfit.invitation import Invitation
    from blindfit.roster import Member


def enroll(
    invitation: Annotated[Path, typer.Argument(help="The invitation file from the operator.")],
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Exchange an invitation for a certificate. The private key is made here and never leaves."""
    from blindfit.home import resolve_home
    from blindfit.invitation import load_invitation
    from blindfit.roster import key_fingerprint
    from blindfit.signing import fingerprint
    from keys.identity_lock import changing_identity

    folder = resolve_home(home)
    invited = load_invitation(invitation)
    # Locked before the invitation is spent: it is good for one certificate only.
    with changing_identity(folder):
        tenant = _exchange(folder, invited)
        member = _member(folder, tenant) if invited.federation_address else None
    publisher = fingerprint(bytes.fromhex(invited.publisher_key))
    document = {
        "tenant": tenant,
        "server": invited.address,
        "publisher_fingerprint": publisher,
        "participant_key": member.key if member else None,
        "home": str(folder),
    }

    def human() -> None:
        print(f"Enrolled as {tenant} with {invited.address}.")
        print(f"Publisher key {publisher}: compare it with what the operator sees.")
        if member:
            print(
                f"Participant's key {key_fingerprint(member)}: studies name this participant by it."
            )
            print("To take part in a training: `blindfit-client join STUDY --data FILE`.")
        print("To predict: `blindfit-client models`, then `blindfit-keys create --model MODEL`")
        print("(where there are keys in a backup: `blindfit-keys restore FILE` instead).")

    emit(document, as_json, human)


def _member(home: Path, name: str) -> Member:
    from blindfit.roster import Member
    from keys.participant import ensure_participant_key

    return Member(name=name, key=ensure_participant_key(home))


def _exchange(home: Path, invited: Invitation) -> str:
    """The invitation for an identity in ``home``; returns the tenant's name."""
    from blindfit.channel import enroll as request_certificate
    from keys.identity import ServerEntry, new_identity_request, save_identity
    from keys.participant import ensure_participant_key

    private_key, request = new_identity_request(invited.tenant)
    ca_pem = invited.ca_pem.encode()
    enrolled = request_certificate(
        invited.enroll_address,
        ca_pem,
        invited.token,
        request,
        ensure_participant_key(home) if invited.federation_address else "",
    )
    server = ServerEntry(
        address=invited.address,
        tenant=enrolled.tenant,
        publisher_key=invited.publisher_key,
        federation=invited.federation_address,
    )
    save_identity(
        home, private_key, certificate_pem=enrolled.certificate_pem, ca_pem=ca_pem, server=server
    )
    return enrolled.tenant
