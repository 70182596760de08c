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
from keys.connecting import connect
from keys.identity import load_identity
from keys.journals import Journals
from keys.states import KeyState
from keys.store import KeyStore

_SOON_DAYS = 14
_OLD_DAYS = 90  # of a primary key
_LOCKS = {"argon2id": "a passphrase", "keyring": "the OS keyring"}


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
        _checked("key store", lambda: _store(home)),
        _checked("primary keys", lambda: _primaries(home)),
        _checked("rotations", lambda: _rotations(home)),
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
    hint = "run `blindfit-keys rotate --identity`" if days < _SOON_DAYS else ""
    if days < 0:
        hint = "ask the operator for a new invitation"
    return Check("identity", days >= 0, found, hint)


def _server(home: Path) -> Check:
    with connect(load_identity(home)) as channel:
        models = {summary.model for summary in channel.list_models()}
    return Check("server", True, f"answers; {len(models)} models for this client")


def _keys(home: Path) -> Check:
    records = KeyStore.of(home).records()
    usable = [record for record in records if record.state is KeyState.ACTIVE]
    hint = "" if usable else "run `blindfit-keys create --model MODEL`"
    return Check("keys", True, f"{len(usable)} active of {len(records)}", hint)


def _store(home: Path) -> Check:
    """How the keys are locked, and whether losing that would lose them."""
    store = KeyStore.of(home)
    if not store.exists:
        return Check("key store", True, "none yet")
    lock = _LOCKS.get(store.lock_kind(), store.lock_kind())
    recipients = sorted(store.recipients())
    if recipients:
        return Check("key store", True, f"locked by {lock}; recovered by {', '.join(recipients)}")
    return Check(
        "key store",
        True,
        f"locked by {lock}; warning: nobody can recover the keys if that is lost",
        "run `blindfit-keys recipients new FILE`, then `blindfit-keys recipients add NAME PUBLIC`",
    )


def _primaries(home: Path) -> Check:
    store = KeyStore.of(home)
    ages = {model: _days(store.record(key).created) for model, key in store.primaries().items()}
    found = ", ".join(f"{model} {days} days old" for model, days in sorted(ages.items()))
    old = max(ages.values(), default=0) >= _OLD_DAYS
    hint = f"run `blindfit-keys rotate --all --if-older-than {_OLD_DAYS}d`" if old else ""
    return Check("primary keys", True, found or "none", hint)


def _rotations(home: Path) -> Check:
    journals = Journals(KeyStore.of(home))
    stopped = [journal for journal in journals.all() if not journals.is_running(journal)]
    hint = "run `blindfit-keys rotate --resume`" if stopped else ""
    return Check("rotations", not stopped, f"{len(stopped)} stopped half-way", hint)


def _days(moment: str) -> int:
    return (datetime.now(UTC) - datetime.fromisoformat(moment)).days
