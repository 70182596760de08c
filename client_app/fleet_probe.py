"""Does a training take this participant's calls now?

A proxy in front of Flower's SuperLink answers also while there is no SuperLink, and says only in
HTTP that it does not accept a certificate. So this calls as a SuperNode does, but without signing.
"""

from __future__ import annotations

import json
import ssl
from contextlib import suppress
from http.client import HTTPException, HTTPResponse, HTTPSConnection
from pathlib import Path

from blindfit.address import split_address
from blindfit.errors import AccessError
from client_app.fleet_tls import explain, fleet_context

_SECONDS = 3.0
_CALL = "/v1/fleet/get-run"
_UNSIGNED = 401  # what a SuperLink with node authentication says to it
_BAD_REQUEST = 400  # what nginx says to a certificate; see packaging/nginx
_LONGEST = 4096  # bytes of an explanation


def takes_calls(server: str, ca: Path, credentials: Path | None) -> bool:
    """Whether there is a SuperLink at ``server``, itself or behind its proxy.

    Raises `AccessError` if another server answers, or if the certificate is not accepted: waiting
    would not help. Raises as `fleet_context`, too.
    """
    host, port = split_address(server)
    context = fleet_context(ca, credentials)
    connection = HTTPSConnection(host, port, timeout=_SECONDS, context=context)
    try:
        connection.request("POST", _CALL, headers={"Content-Type": "application/protobuf"})
        return _judge(connection.getresponse(), server)
    except ssl.SSLEOFError:
        return False  # it is being started or ended
    except ssl.SSLError as error:
        raise AccessError(explain(error, server, ca), hint=_hint(error)) from error
    except (OSError, HTTPException):
        return False
    finally:
        connection.close()


def _judge(response: HTTPResponse, server: str) -> bool:
    if response.status == _UNSIGNED:
        return True
    if response.status >= 500:
        return False
    if response.status == _BAD_REQUEST:
        raise AccessError(
            f"the server at {server} refuses: {_detail(response)}",
            hint="ask the operator for an invitation, then run `blindfit-client enroll FILE`",
        )
    raise AccessError(
        f"the server at {server} serves no training: it answers {response.status}",
        hint="compare the address with the coordinator",
    )


def _detail(response: HTTPResponse) -> str:
    with suppress(ValueError, KeyError, TypeError):
        return str(json.loads(response.read(_LONGEST))["detail"])
    return response.reason


def _hint(error: ssl.SSLError) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return "compare the address and the CA's file with the coordinator"
    return ""
