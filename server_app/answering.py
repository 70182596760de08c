"""What every handler does around its own few lines: who calls, how it ended, and the access log.

Logs name tenants, methods, models and times; never a ciphertext, a key or a message's content.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import ssl
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, NoReturn

from blindfit.errors import AccessError, BlindfitError
from blindfit.status import status_of, trailing_metadata
from server_app.tenants import Tenant, Tenants

_log = logging.getLogger(__name__)
_access = logging.getLogger("blindfit.access")


@dataclass
class Note:
    """What the access log tells about a call, beside its method and its end."""

    tenant: str = "-"
    model: str = "-"
    rows: str = ""


def caller(tenants: Tenants, context: Any) -> Tenant:
    """The tenant whose certificate the connection was made with; raises `AccessError`."""
    return tenants.identify(presented_fingerprint(context))


def presented_fingerprint(context: Any) -> str:
    """The SHA-256 of the connection's client certificate, hex; raises `AccessError`."""
    presented = context.auth_context().get("x509_pem_cert")
    if not presented:
        raise AccessError("the connection has no client certificate")
    der = ssl.PEM_cert_to_DER_cert(presented[0].decode())
    return sha256(der).hexdigest()


@asynccontextmanager
async def answering(context: Any, method: str) -> AsyncIterator[Note]:
    """Turn errors to gRPC status, and log one line when the call is over."""
    note, started, status = Note(), time.perf_counter(), "OK"
    try:
        yield note
    except BlindfitError as error:
        status = status_of(error).name
        await context.abort(status_of(error), str(error), trailing_metadata(error))
    except asyncio.CancelledError:
        status = "CANCELLED"
        raise
    except Exception as error:  # noqa: BLE001 - the last resort, in one place
        expected = internal_error(error)
        status = status_of(expected).name
        await context.abort(status_of(expected), str(expected), trailing_metadata(expected))
    finally:
        milliseconds = (time.perf_counter() - started) * 1000
        line = (note.tenant, method, note.model, status, milliseconds, note.rows)
        _access.info("tenant=%s method=%s model=%s status=%s ms=%.1f%s", *line)


async def refuse(context: Any, method: str, error: BlindfitError) -> NoReturn:
    """End a call that reaches no handler, and log that; ``method`` with its path."""
    async with answering(context, method.rpartition("/")[2]):
        raise error
    raise error  # `answering` has ended the call by another exception before


def internal_error(error: Exception) -> BlindfitError:
    """An error without details for the caller, and with all of them in the log, by its id."""
    identifier = secrets.token_hex(6)
    _log.error("internal error %s", identifier, exc_info=error)
    return BlindfitError(
        f"internal error {identifier}", hint="give this number to the operator of the server"
    )
