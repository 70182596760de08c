from __future__ import annotations

import pytest

from blindfit.errors import IntegrityError
from keys.audit import START, AuditLog


@pytest.fixture
def path(tmp_path):
    return tmp_path / "audit.jsonl"


@pytest.fixture
def log(path):
    log = AuditLog(path)
    for state in ("PRE_ACTIVE", "ACTIVE", "DEACTIVATED"):
        log.append("key", key_id="ab", to=state)
    return log


def test_lines_are_chained_in_order(log):
    assert log.verify() == 3
    entries = log.entries()
    assert [entry["to"] for entry in entries] == ["PRE_ACTIVE", "ACTIVE", "DEACTIVATED"]
    assert entries[0]["previous"] == START
    assert len({entry["previous"] for entry in entries}) == 3


def test_an_empty_log_is_intact(tmp_path):
    assert AuditLog(tmp_path / "none").verify() == 0


@pytest.mark.parametrize("number", [1, 2])
def test_a_changed_line_breaks_the_chain_at_the_next(log, path, number):
    lines = path.read_bytes().split(b"\n")
    lines[number - 1] = lines[number - 1].replace(b'"key_id":"ab"', b'"key_id":"cd"')
    path.write_bytes(b"\n".join(lines))
    with pytest.raises(IntegrityError, match=f"line {number + 1}"):
        log.verify()


@pytest.mark.parametrize("change", ["drop first", "drop middle", "swap", "insert", "noise"])
def test_dropped_moved_and_inserted_lines_are_found(log, path, change):
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
        log.verify()


def test_a_cut_end_is_found_by_the_head(log, path):
    head = log.append("key", key_id="ab", to="DESTROYED")
    assert log.verify(head) == 4
    path.write_bytes(b"\n".join(path.read_bytes().splitlines()[:3]) + b"\n")
    assert log.verify() == 3
    with pytest.raises(IntegrityError, match="last lines are missing"):
        log.verify(head)


@pytest.mark.parametrize("length", [15, 500])
def test_a_line_that_a_crash_cut_is_replaced_by_the_next(log, path, length):
    with path.open("ab") as file:
        file.write(b'{"number":4,"time":"'.ljust(length, b"x")[:length])
    assert log.verify() == 3
    log.append("key", key_id="ab", to="DESTROYED")
    assert log.verify() == 4
    assert log.entries()[3]["to"] == "DESTROYED"
    assert path.read_bytes().endswith(b"}\n")
