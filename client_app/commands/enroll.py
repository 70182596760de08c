"""`blindfit-client enroll`: from an invitation to a client certificate."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from blindfit.console import HomeOption, JsonOption, emit


def enroll(
    invitation: Annotated[Path, typer.Argument(help="The invitation file from the operator.")],
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Exchange an invitation for a certificate. The private key is made here and never leaves."""
    from blindfit.channel import enroll as request_certificate
    from blindfit.home import resolve_home
    from blindfit.invitation import load_invitation
    from blindfit.signing import fingerprint
    from keys.identity import ServerEntry, new_identity_request, save_identity
    from keys.participant import ensure_participant_key

    folder = resolve_home(home)
    invited = load_invitation(invitation)
    private_key, request = new_identity_request(invited.tenant)
    enrolled = request_certificate(
        invited.enroll_address,
        invited.ca_pem.encode(),
        invited.token,
        request,
        ensure_participant_key(folder) if invited.federation_address else "",
    )
    server = ServerEntry(
        address=invited.address,
        tenant=enrolled.tenant,
        publisher_key=invited.publisher_key,
        federation=invited.federation_address,
    )
    save_identity(
        folder,
        private_key,
        certificate_pem=enrolled.certificate_pem,
        ca_pem=invited.ca_pem.encode(),
        server=server,
    )
    publisher = fingerprint(bytes.fromhex(invited.publisher_key))
    document = {
        "tenant": enrolled.tenant,
        "server": invited.address,
        "publisher_fingerprint": publisher,
        "home": str(folder),
    }

    def human() -> None:
        print(f"Enrolled as {enrolled.tenant} with {invited.address}.")
        print(f"Publisher key {publisher}: compare it with what the operator sees.")
        if invited.federation_address:
            print("To take part in a training: `blindfit-client join STUDY --data FILE`.")
        print("To predict: `blindfit-client models`, then `blindfit-keys create --model MODEL`.")

    emit(document, as_json, human)
