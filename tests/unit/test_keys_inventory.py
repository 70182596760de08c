"""The state machine under random operations, and a manifest that somebody changed."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from blindfit.errors import IntegrityError, KeyStateError
from keys.changes import describe_changes
from keys.inventory import Inventory, KeyRecord
from keys.signatures import PrivateKey, public_bytes
from keys.states import TRANSITIONS, KeyState
from keys.store_manifest import decode_manifest, encode_manifest

KEYS = ["aa" * 32, "bb" * 32, "cc" * 32, "dd" * 32]
PARAMS = {KEYS[0]: "11" * 32, KEYS[1]: "11" * 32, KEYS[2]: "11" * 32, KEYS[3]: "22" * 32}
MODELS = ["digits", "health"]
SIGNER = PrivateKey.generate()
PUBLIC = public_bytes(SIGNER)


def record(key_id: str, state: KeyState = KeyState.PRE_ACTIVE) -> KeyRecord:
    return KeyRecord(key_id, PARAMS[key_id], state, "2025-01-31T12:00:00Z", (), "99" * 32)


def created() -> Inventory:
    inventory = Inventory()
    for key_id in KEYS:
        inventory = inventory.with_record(record(key_id))
    return inventory


operations = st.one_of(
    st.tuples(st.just("promote"), st.sampled_from(MODELS), st.sampled_from(KEYS)),
    st.tuples(st.just("state"), st.sampled_from(KEYS), st.sampled_from(KeyState)),
    st.tuples(st.just("state"), st.sampled_from(KEYS), st.just(KeyState.ACTIVE)),
    st.tuples(st.just("state"), st.sampled_from(KEYS), st.just(KeyState.SUSPENDED)),
    st.tuples(st.just("schedule"), st.sampled_from(KEYS)),
    st.tuples(st.just("cancel"), st.sampled_from(KEYS)),
)


def applied(inventory: Inventory, operation: tuple) -> Inventory:
    kind, *rest = operation
    if kind == "promote":
        return inventory.with_primary(*rest)
    if kind == "state":
        return inventory.with_state(*rest)
    if kind == "schedule":
        return inventory.with_destruction(*rest, "2030-01-01T00:00:00Z")
    return inventory.without_destruction(*rest)


def require_invariants(before: Inventory, after: Inventory) -> None:
    active = [r.params_id for r in after.records.values() if r.state is KeyState.ACTIVE]
    assert len(active) == len(set(active))
    for key_id in after.primary.values():
        assert after.records[key_id].state is KeyState.ACTIVE
    for key_id, new in after.records.items():
        old = before.records[key_id]
        assert new.state is old.state or new.state in TRANSITIONS[old.state]
        scheduled = new.state is KeyState.DESTROY_SCHEDULED
        assert scheduled == (new.destroy_at is not None) == (new.scheduled_from is not None)


@settings(max_examples=300)
@given(st.lists(operations, min_size=5, max_size=30))
def test_no_sequence_of_operations_breaks_an_invariant(sequence):
    inventory = created()
    compromised = set()
    for operation in sequence:
        try:
            after = applied(inventory, operation)
        except KeyStateError as error:
            assert error.hint
            continue
        require_invariants(inventory, after)
        assert decode_manifest(encode_manifest(after, SIGNER), PUBLIC) == after
        moved = {k for k in KEYS if after.records[k].state is not inventory.records[k].state}
        told = {e["key_id"] for e in describe_changes(inventory, after) if e["event"] == "key"}
        assert moved <= told
        compromised |= {k for k, r in after.records.items() if r.state is KeyState.COMPROMISED}
        usable = {KeyState.ACTIVE, KeyState.PRE_ACTIVE, KeyState.SUSPENDED}
        assert not [k for k in compromised if after.records[k].state in usable]
        inventory = after


def full_inventory() -> Inventory:
    inventory = created().with_primary("digits", KEYS[0]).with_primary("health", KEYS[3])
    inventory = inventory.with_destruction(KEYS[1], "2030-01-01T00:00:00Z")
    return replace(
        inventory, generation=7, audit_head="ef" * 32, recipients={"bob": "text"}, resealing=True
    )


def leaves(value, path=()):
    items = value.items() if isinstance(value, dict) else enumerate(value)
    for name, inner in items:
        if isinstance(inner, dict | list):
            yield (*path, name), inner
            yield from leaves(inner, (*path, name))
        else:
            yield (*path, name), inner


def other(value):
    if isinstance(value, bool) or value is None:
        return not value
    if isinstance(value, int):
        return value + 1
    if isinstance(value, dict | list):
        return type(value)()
    return {
        "ACTIVE": "SUSPENDED",
        "PRE_ACTIVE": "DEACTIVATED",
        "DESTROY_SCHEDULED": "DEACTIVATED",
    }.get(value, value[:-1] + ("0" if value[-1] != "0" else "1"))


def paths():
    document = json.loads(encode_manifest(full_inventory(), SIGNER))
    return [path for path, value in leaves(document) if value not in ([], {})]


@pytest.mark.parametrize("path", paths(), ids=lambda path: ".".join(map(str, path)))
def test_every_member_of_the_manifest_is_signed(path):
    document = json.loads(encode_manifest(full_inventory(), SIGNER))
    *parents, name = path
    inner = document
    for parent in parents:
        inner = inner[parent]
    inner[name] = other(inner[name])
    with pytest.raises(IntegrityError, match="manifest is damaged"):
        decode_manifest(json.dumps(document).encode(), PUBLIC)
    del inner[name]
    with pytest.raises(IntegrityError, match="manifest is damaged"):
        decode_manifest(json.dumps(document).encode(), PUBLIC)


def test_a_manifest_of_another_store_is_refused():
    with pytest.raises(IntegrityError, match="its signature is wrong"):
        decode_manifest(encode_manifest(full_inventory(), PrivateKey.generate()), PUBLIC)


@pytest.mark.parametrize(
    "content",
    [b"", b"{}", b"[1]", b"\xff", b'{"signed": 1, "signature": 2}', b"[" * 100_000],
    ids=["empty", "no members", "a list", "no text", "numbers", "deep"],
)
def test_a_damaged_manifest_is_an_error(content):
    with pytest.raises(IntegrityError, match="damaged"):
        decode_manifest(content, PUBLIC)


def test_members_that_are_not_signed_are_refused():
    document = json.loads(encode_manifest(full_inventory(), SIGNER))
    with pytest.raises(IntegrityError, match="not signed"):
        decode_manifest(json.dumps({**document, "more": 1}).encode(), PUBLIC)


@pytest.mark.parametrize(
    "inventory",
    [
        replace(created(), primary={"digits": KEYS[0]}),
        replace(created(), primary={"digits": "00" * 32}),
        Inventory(records={k: record(k, KeyState.ACTIVE) for k in KEYS[:2]}),
        Inventory(records={"../key": replace(record(KEYS[0]), key_id="../key")}),
    ],
    ids=["primary not active", "primary unknown", "two active", "key_id is a path"],
)
def test_even_a_signed_manifest_must_be_consistent(inventory):
    with pytest.raises(IntegrityError, match="damaged"):
        decode_manifest(encode_manifest(inventory, SIGNER), PUBLIC)
