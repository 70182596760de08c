"""TLS towards the federation's server: who it has to be, and as whom a participant comes."""

from __future__ import annotations

import ssl
from pathlib import Path

from blindfit.errors import BlindfitError, InputError, NotEnrolledError
from keys.private import open_private

# What a server says about a client's certificate (RFC 8446, section 6.2), as OpenSSL words it.
_REFUSALS = (
    "certificate required",
    "bad certificate",
    "unknown ca",
    "alert certificate",
    "access denied",
)


def fleet_context(ca: Path, credentials: Path | None) -> ssl.SSLContext:
    """TLS 1.3 with a server of the authority ``ca`` alone, its name checked.

    ``credentials`` is the file of key and certificate that the server is shown if it asks; None
    shows nothing. Raises `InputError` for an authority and `NotEnrolledError` for credentials that
    cannot be read, `AccessError` if others may read the credentials.
    """
    # Not create_default_context: that logs the keys of sessions where SSLKEYLOGFILE says.
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    try:
        context.load_verify_locations(ca)
    except (OSError, ssl.SSLError) as error:
        raise InputError(f"{ca} is not a PEM certificate that can be read: {error}") from error
    if credentials is not None:
        _present(context, credentials)
    return context


def _present(context: ssl.SSLContext, credentials: Path) -> None:
    try:
        open_private(credentials).close()
        # OpenSSL reads files only: from the original, so that there is no copy of the key.
        context.load_cert_chain(credentials)
    except (OSError, ssl.SSLError) as error:
        raise NotEnrolledError(f"{credentials} cannot be used: {error}") from error


def explain(error: OSError | BlindfitError, server: str, ca: Path) -> str:
    """Why there is no connection to ``server``, for people."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return (
            f"the server at {server} is not the one that {ca} vouches for: {error.verify_message}"
        )
    if isinstance(error, ssl.SSLError):
        reason = (error.reason or str(error)).lower().replace("_", " ")
        if any(alert in reason for alert in _REFUSALS):
            return f"the server at {server} refuses this participant's certificate: {reason}"
        return f"no TLS 1.3 with the server at {server}: {reason}"
    if isinstance(error, TimeoutError):
        return f"the server at {server} does not answer"
    if isinstance(error, OSError):
        return f"no connection to {server}: {error.strerror or error}"
    return str(error)
