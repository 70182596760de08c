"""The invitation: the file with which an operator lets a client or a participant in.

It holds a one-time secret, so it travels over a channel that the operator trusts, and what the
newcomer pins from then on: the server's authority and the publisher's key.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field, ValidationError

from blindfit.errors import InvitationError
from blindfit.manifest import MODEL_NAME, SHA256
from blindfit.schema import Strict

TENANT_NAME = MODEL_NAME
MAX_INVITATION_BYTES = 64 << 10
_ADDRESS = r"^[^\s/]+:[0-9]{1,5}$"


class Invitation(Strict):
    """What `blindfit-server tenants invite` writes and `blindfit-client enroll` reads.

    Addresses are ``host:port``. ``publisher_key`` is the Ed25519 public key of bundles, in hex.
    """

    format: Literal[1] = 1
    tenant: str = Field(pattern=TENANT_NAME)
    token: str = Field(min_length=20, max_length=200, repr=False)
    address: str = Field(pattern=_ADDRESS)
    enroll_address: str = Field(pattern=_ADDRESS)
    federation_address: str | None = Field(pattern=_ADDRESS)  # None: for predictions only
    ca_pem: str
    publisher_key: str = Field(pattern=SHA256)
    expires: str  # RFC 3339, UTC

    def to_bytes(self) -> bytes:
        """The file's content."""
        return self.model_dump_json(indent=1).encode() + b"\n"


def load_invitation(path: Path) -> Invitation:
    """The invitation in a file; raises `InvitationError`."""
    try:
        with path.open("rb") as file:
            content = file.read(MAX_INVITATION_BYTES + 1)
    except OSError as error:
        raise InvitationError(f"cannot read {path}: {error}") from error
    if len(content) > MAX_INVITATION_BYTES:
        raise InvitationError(f"{path} is larger than {MAX_INVITATION_BYTES} bytes")
    try:
        return Invitation.model_validate_json(content)
    except ValidationError as error:
        # The text of a pydantic error shows its input, and that is a secret here.
        keys = ", ".join(str(item["loc"][0]) for item in error.errors() if item["loc"])
        raise InvitationError(f"{path} is not an invitation (wrong: {keys or 'format'})") from None
