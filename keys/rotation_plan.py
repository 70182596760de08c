"""What a rotation would do, and whether it could: everything that can be checked without change."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from blindfit.errors import LimitError, NotFoundError
from blindfit.wire_types import REFUSED
from keys.destruction import DEFAULT_DELAY
from keys.journal import Kind
from keys.journals import Journals
from keys.means import KeyServer, audit_bundle, server_active
from keys.rotation import models_of
from keys.rotation_steps import STEPS, next_steps
from keys.store import KeyStore
from keys.without_key import advise

if TYPE_CHECKING:
    from blindfit.bundle import Bundle

_SECRET_BYTES = 64 << 20  # more than any secret keys have, beside the evaluation keys


@dataclass(frozen=True, slots=True)
class Plan:
    """``resumes`` is the id of a rotation that would be gone on with, ``held`` the number of keys
    that the server keeps for this tenant; sizes in bytes.
    """

    models: tuple[str, ...]
    params_id: str
    old_key_id: str | None
    resumes: str | None
    evaluation_bytes: int
    held: int
    steps: tuple[str, ...]


def plan_rotation(server: KeyServer, store: KeyStore, bundle: Bundle, grace: timedelta) -> Plan:
    """The plan for the model of an opened bundle; raises what the rotation would raise at once.

    How much the server would take is its own to say: it reserves room when the upload begins.
    """
    manifest = bundle.manifest
    if store.primary(manifest.model) is None:
        advice = advise(store, manifest.model)
        raise NotFoundError(advice.what, hint=advice.hint)
    audit_bundle(bundle)
    params_id = manifest.circuit.params_id
    journal, old = Journals(store).of(params_id), store.active(params_id)
    server_active(server, store, params_id)
    size = manifest.circuit.evaluation_keys.length
    _require_room(store, size)
    return Plan(
        models=models_of(store, old.key_id) if old else (manifest.model,),
        params_id=params_id,
        old_key_id=old.key_id if old else None,
        resumes=journal.rotation_id if journal else None,
        evaluation_bytes=size,
        held=sum(key.state not in REFUSED for key in server.list_keys()),
        steps=next_steps(journal) if journal else _told(grace),
    )


def _told(grace: timedelta) -> tuple[str, ...]:
    extra = {
        "drain": f" (at most {grace})",
        "schedule": f" ({DEFAULT_DELAY.days} days later)",
    }
    return tuple(step.description + extra.get(step.name, "") for step in STEPS[Kind.ROTATE])


def _require_room(store: KeyStore, size: int) -> None:
    free = shutil.disk_usage(store.root).free
    if free < size + _SECRET_BYTES:
        raise LimitError(
            f"{store.root} has {free >> 20} MB left, and a new keyset may take "
            f"{(size + _SECRET_BYTES) >> 20} MB",
            hint="make room first",
        )


__all__ = ["Plan", "plan_rotation"]
