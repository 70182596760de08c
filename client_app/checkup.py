"""The checks behind `blindfit-client doctor`; none of them raises."""

from __future__ import annotations

import platform
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from cryptography import x509

from blindfit.errors import BlindfitError
from client_app.session import connect
from keys.identity import load_identity
from keys.store import KeyStore

_SOON_DAYS = 14


@dataclass(frozen=True)
class Check:
    """One line: what was looked at, whether it is fine, what was found, what to do."""

    name: str
    ok: bool
    found: str
    hint: str = ""


def run_checks(home: Path) -> list[Check]:
    """Every check, in the order in which a failure explains the next ones."""
    return [
        Check("python", True, f"{platform.python_version()}, concrete-ml {version('concrete-ml')}"),
        _checked("identity", lambda: _identity(home)),
        _checked("server", lambda: _server(home)),
        _checked("keys", lambda: _keys(home)),
    ]


def _checked(name: str, check: Callable[[], Check]) -> Check:
    try:
        return check()
    except BlindfitError as error:
        return Check(name, False, str(error), error.hint)


def _identity(home: Path) -> Check:
    identity = load_identity(home)
    certificate = x509.load_pem_x509_certificate(identity.certificate_pem)
    days = (certificate.not_valid_after_utc - datetime.now(UTC)).days
    found = f"{identity.tenant} at {identity.address}, certificate for {days} more days"
    hint = "ask the operator for a new invitation" if days < _SOON_DAYS else ""
    return Check("identity", days >= 0, found, hint)


def _server(home: Path) -> Check:
    with connect(load_identity(home)) as channel:
        models = {summary.model for summary in channel.list_models()}
    return Check("server", True, f"answers; {len(models)} models for this client")


def _keys(home: Path) -> Check:
    records = KeyStore(home / "keys").records()
    usable = [record for record in records if record.state.value == "ACTIVE"]
    hint = "" if usable else "run `blindfit-keys create --model MODEL`"
    return Check("keys", True, f"{len(usable)} active of {len(records)}", hint)
