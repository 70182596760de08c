from __future__ import annotations

import hashlib
import json

import pytest

from blindfit.errors import IntegrityError
from keys.audit import START, AuditLog


def event(state):
    return {"event": "key", "key_id": "ab", "to": state}


def hash_of(path, number):
    return hashlib.sha256(path.read_bytes().splitlines()[number - 1]).hexdigest()


@pytest.fixture
def path(tmp_path):
    return tmp_path / "audit.jsonl"


@pytest.fixture
def log(path):
    log = AuditLog(path)
    log.append([event("PRE_ACTIVE"), event("ACTIVE"), event("DEACTIVATED")], after=START)
    return log


@pytest.fixture
def head(log, path):
    return hash_of(path, 3)


def test_lines_are_chained_in_order(log, head):
    entries = log.entries(head)
    assert [entry["to"] for entry in entries] == ["PRE_ACTIVE", "ACTIVE", "DEACTIVATED"]
    assert entries[0]["previous"] == START
    assert len({entry["previous"] for entry in entries}) == 3


def test_an_empty_log_is_intact(tmp_path):
    assert AuditLog(tmp_path / "none").entries(START) == []


@pytest.mark.parametrize("number", [1, 2])
def test_a_changed_line_breaks_the_chain_at_the_next(log, path, number, head):
    lines = path.read_bytes().split(b"\n")
    lines[number - 1] = lines[number - 1].replace(b'"key_id":"ab"', b'"key_id":"cd"')
    path.write_bytes(b"\n".join(lines))
    with pytest.raises(IntegrityError, match=f"line {number + 1}"):
        log.entries(head)


@pytest.mark.parametrize("change", ["drop first", "drop middle", "swap", "insert", "noise"])
def test_dropped_moved_and_inserted_lines_are_found(log, path, change, head):
    a, b, c = path.read_bytes().splitlines()
    lines = {
        "drop first": [b, c],
        "drop middle": [a, c],
        "swap": [b, a, c],
        "insert": [a, a, b, c],
        "noise": [a, b"[]", c],
    }[change]
    path.write_bytes(b"\n".join(lines) + b"\n")
    with pytest.raises(IntegrityError):
        log.entries(head)


def test_a_cut_end_is_found_by_the_head(log, path, head):
    before, head = head, log.append([event("DESTROYED")], after=head)
    assert len(log.entries(head)) == 4
    path.write_bytes(b"\n".join(path.read_bytes().splitlines()[:3]) + b"\n")
    assert len(log.entries(before)) == 3
    with pytest.raises(IntegrityError, match="last lines are missing"):
        log.entries(head)


@pytest.mark.parametrize("length", [15, 500])
def test_a_line_that_a_crash_cut_is_replaced_by_the_next(log, path, head, length):
    with path.open("ab") as file:
        file.write(b'{"number":4,"time":"'.ljust(length, b"x")[:length])
    assert log.unconfirmed(head) == 0
    head = log.append([event("DESTROYED")], after=head)
    assert len(log.entries(head)) == 4
    assert log.entries(head)[3]["to"] == "DESTROYED"
    assert path.read_bytes().endswith(b"}\n")


def test_lines_that_nobody_confirmed_are_replaced_by_the_next_change(log, path, head):
    forged = log.append([event("COMPROMISED")], after=head)
    assert (log.unconfirmed(head), log.unconfirmed(forged)) == (1, 0)
    assert [entry["to"] for entry in log.entries(head)][-1] == "DEACTIVATED"
    head = log.append([event("DESTROYED")], after=head)
    assert [entry["to"] for entry in log.entries(head)][-2:] == ["DEACTIVATED", "DESTROYED"]


def test_what_stands_behind_the_head_does_not_matter_to_it(log, path, head):
    with path.open("ab") as file:
        file.write(b"noise\n")
    assert len(log.entries(head)) == 3
    with pytest.raises(IntegrityError, match="line 4"):
        log.unconfirmed(head)


@pytest.mark.parametrize("loss", ["removed", "cut", "changed"])
def test_a_lost_log_is_set_aside_and_the_new_one_says_so(log, path, head, loss):
    content = path.read_bytes()
    if loss == "removed":
        path.unlink()
    else:
        path.write_bytes(content[:150] if loss == "cut" else content.replace(b"ab", b"cd"))
    now = log.append([event("DESTROYED")], after=head)
    lost, destroyed = log.entries(now)
    assert (lost["event"], lost["head"], destroyed["to"]) == ("log lost", head, "DESTROYED")
    aside = list(path.parent.glob("audit-damaged-*.jsonl"))
    assert len(aside) == (loss != "removed")


def test_a_log_holds_one_json_document_a_line(log, path):
    assert all(json.loads(line)["event"] == "key" for line in path.read_bytes().splitlines())
