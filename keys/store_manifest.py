"""The form of the inventory in ``manifest.json``: canonical JSON, signed by the store's key.

    {"signature": HEX, "signed": {...}}

The signature covers everything under ``signed``: states, primaries, recipients, generation and the
head of the audit log.
"""

from __future__ import annotations

import re
from dataclasses import asdict, fields
from datetime import datetime
from typing import Any

from blindfit.errors import IntegrityError
from blindfit.strict_json import canonical, loads_strict
from keys.inventory import Inventory, KeyRecord
from keys.lost_file import put_back
from keys.signatures import PrivateKey, require_signature, sign
from keys.states import KeyState

_VERSION = 1
_PURPOSE = "manifest"
_DIGEST = re.compile(r"[0-9a-f]{64}")
_RECORD_FIELDS = {field.name for field in fields(KeyRecord)}


def encode_manifest(inventory: Inventory, key: PrivateKey) -> bytes:
    """The signed manifest."""
    document = {
        "version": _VERSION,
        "generation": inventory.generation,
        "audit_head": inventory.audit_head,
        "keys": [asdict(record) for record in inventory.records.values()],
        "primary": dict(inventory.primary),
        "recipients": dict(inventory.recipients),
        "resealing": inventory.resealing,
    }
    signature = sign(key, canonical(document), _PURPOSE).hex()
    return canonical({"signed": document, "signature": signature}) + b"\n"


def decode_manifest(content: bytes, public_key: bytes) -> Inventory:
    """The inventory in a manifest that ``public_key`` signed; raises `IntegrityError`."""
    try:
        outer = loads_strict(content)
        document, signature = outer["signed"], bytes.fromhex(outer["signature"])
        if set(outer) != {"signed", "signature"}:
            raise ValueError("it has members that are not signed")
        require_signature(public_key, canonical(document), signature, _PURPOSE)
        return _inventory(document)
    except IntegrityError as error:
        raise _damaged("its signature is wrong") from error
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise _damaged(str(error)) from error


def _damaged(reason: str) -> IntegrityError:
    return IntegrityError(
        f"the key store's manifest is damaged: {reason}",
        hint=put_back("manifest.json"),
    )


def _inventory(document: Any) -> Inventory:
    if document["version"] != _VERSION:
        raise ValueError(f"format version {document['version']} is not known")
    records = [_record(entry) for entry in document["keys"]]
    inventory = Inventory(
        generation=int(document["generation"]),
        audit_head=str(document["audit_head"]),
        records={record.key_id: record for record in records},
        primary={str(m): str(k) for m, k in document["primary"].items()},
        recipients={str(n): str(text) for n, text in document["recipients"].items()},
        resealing=document["resealing"] is True,
    )
    _require_consistent(inventory)
    return inventory


def _record(entry: Any) -> KeyRecord:
    if set(entry) != _RECORD_FIELDS:
        raise ValueError("a key has other members than it must")
    if not all(_DIGEST.fullmatch(entry[name]) for name in ("key_id", "params_id", "commitment")):
        raise ValueError("a key_id, params_id or commitment is malformed")
    destroy_at = entry["destroy_at"]
    if destroy_at is not None:
        datetime.fromisoformat(destroy_at)
    return KeyRecord(
        key_id=entry["key_id"],
        params_id=entry["params_id"],
        state=KeyState(entry["state"]),
        created=str(entry["created"]),
        models=tuple(str(model) for model in entry["models"]),
        commitment=entry["commitment"],
        destroy_at=destroy_at,
        scheduled_from=KeyState(entry["scheduled_from"]) if entry["scheduled_from"] else None,
    )


def _require_consistent(inventory: Inventory) -> None:
    for key_id in inventory.primary.values():
        if key_id not in inventory.records:
            raise ValueError("a primary key is not among the keys")
        if inventory.records[key_id].state is not KeyState.ACTIVE:
            raise ValueError("a primary key is not ACTIVE")
    active = [r.params_id for r in inventory.records.values() if r.state is KeyState.ACTIVE]
    if len(active) != len(set(active)):
        raise ValueError("two keys of the same parameters are ACTIVE")


__all__ = ["decode_manifest", "encode_manifest"]
