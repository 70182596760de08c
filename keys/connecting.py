"""The connection of an enrolled client to its server."""

from __future__ import annotations

from blindfit.channel import ServerChannel
from keys.identity import Identity


def connect(identity: Identity, address: str | None = None) -> ServerChannel:
    """A channel to the server that issued the identity (or its other ``address``)."""
    return ServerChannel.connect(
        address or identity.address, identity.ca_pem, identity.certificate_pem, identity.key_pem
    )


__all__ = ["connect"]
