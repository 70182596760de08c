"""What to do when somebody else may have a key: refuse it, mark it, replace it, and say what stays.

The server refuses it first: until then whoever has the identity too could go on using it. Each part
may be repeated, so a command that was stopped is given again.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

from blindfit.errors import AccessError, KeyStateError, UnavailableError
from keys.journal import Kind, new_journal
from keys.means import KeyServer, Means, Report
from keys.rotation import models_of, replace_compromised
from keys.rotation_handover import revoke_on_server
from keys.states import KeyState
from keys.store import KeyRecord
from keys.unlocked_store import UnlockedStore


@dataclass(frozen=True, slots=True)
class Contained:
    """A marked key, and the models that have no key to encrypt with because of it."""

    record: KeyRecord
    models: tuple[str, ...]


def contain(
    server: KeyServer,
    record: KeyRecord,
    unlock: Callable[[], UnlockedStore],
    report: Report = lambda _: None,
) -> tuple[UnlockedStore, Contained]:
    """`refuse`, and only then open the store and `mark`: nobody waits for a passphrase."""
    refuse(server, record)
    report(f"the server refuses key {record.key_id[:12]} from now on")
    store = unlock()
    return store, mark(store, store.record(record.key_id))


def refuse(server: KeyServer, record: KeyRecord) -> None:
    """Have the server refuse the key.

    Raises `UnavailableError` or `AccessError` that says what else to do: the server may not be
    reached, or may not know this machine any more.
    """
    try:
        revoke_on_server(server, record.key_id)
    except (UnavailableError, AccessError) as error:
        raise type(error)(
            f"{error}: the server may still compute with key {record.key_id[:12]}; nothing was "
            "changed",
            hint="ask the operator for `blindfit-server keys revoke TENANT "
            f"{record.key_id[:12]}` now; then run this again (where the certificate was revoked, "
            "enroll before), or with --offline to mark the key here at once",
        ) from error


def mark(store: UnlockedStore, record: KeyRecord) -> Contained:
    """COMPROMISED here: it decrypts and does not encrypt. Again is harmless.

    Raises `KeyStateError` for a destroyed key.
    """
    models = _models_without(store, record)
    if record.state is not KeyState.COMPROMISED:
        record = store.transition(record.key_id, KeyState.COMPROMISED)
    return Contained(record, models)


def replace_key(means: Means, contained: Contained, report: Report = lambda _: None) -> KeyRecord:
    """A new key for every model in ``contained``; goes on with what a stopped run began.

    ``means.bundle`` is that of one of the models. Raises `KeyStateError` if it has other
    parameters now.
    """
    if means.params_id != contained.record.params_id:
        raise KeyStateError(
            f"{means.model} has other parameters than the compromised key had",
            hint=f"run `blindfit-keys create --model {means.model}` for its new key",
        )
    journal = new_journal(
        Kind.COMPROMISE, contained.models, means.params_id, contained.record.key_id, timedelta(0)
    )
    new = replace_compromised(means, journal, report)
    for model in contained.models:  # a rotation that began before may not have known them all
        means.store.promote(model, new.key_id)
    return means.store.record(new.key_id)


def what_stays_readable(record: KeyRecord) -> str:
    """The plain words: what no rotation can take back."""
    models = ", ".join(record.models) or "no model"
    return (
        f"Whoever has key {record.key_id[:12]} can read every encrypted row and every encrypted "
        f"result\nof {models} that was recorded since {record.created}, now and for ever: the ones "
        "they caught,\nand the ones in anybody's logs and backups. Nothing can take that back. A "
        "new key protects\nwhat is encrypted from now on, and nothing before. If they also have "
        "this machine, ask the\noperator for `blindfit-server tenants revoke`, and enroll again."
    )


def _models_without(store: UnlockedStore, record: KeyRecord) -> tuple[str, ...]:
    """Those it encrypts for; once it is marked, those it served that nothing encrypts for now."""
    if record.state is not KeyState.COMPROMISED:
        return models_of(store, record.key_id)
    primaries = store.primaries()
    return tuple(model for model in record.models if model not in primaries)


__all__ = ["Contained", "contain", "mark", "refuse", "replace_key", "what_stays_readable"]
