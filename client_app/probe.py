"""Is the federation's server there, and is it the right one?"""

from __future__ import annotations

import socket
import ssl
from pathlib import Path

from blindfit.address import split_address
from blindfit.errors import AccessError, InputError

_SECONDS = 3.0


def is_up(address: str, ca: Path) -> bool:
    """Whether a server with a certificate of the authority ``ca`` answers at ``address``.

    Raises `AccessError` if another server answers: waiting would not help.
    """
    host, port = split_address(address)
    try:
        context = ssl.create_default_context(cafile=str(ca))
    except (OSError, ssl.SSLError) as error:
        raise InputError(f"{ca} is not a PEM certificate that can be read: {error}") from error
    try:
        with (
            socket.create_connection((host, port), timeout=_SECONDS) as plain,
            context.wrap_socket(plain, server_hostname=host),
        ):
            return True
    except ssl.SSLCertVerificationError as error:
        raise AccessError(
            f"the server at {address} is not the one that {ca} vouches for: {error.verify_message}",
            hint="compare the address and the CA's file with the coordinator",
        ) from error
    except OSError:
        return False
