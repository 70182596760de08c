"""Exit codes, the documented table, and JSON on failure."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from blindfit.console import print_table, say
from blindfit.errors import BlindfitError, exit_codes
from blindfit.status import error_from_detail, error_from_rpc, status_of, trailing_metadata
from blindfit.wire_types import ErrorDetail

ROOT = Path(__file__).parent.parent.parent
HEAVY = {"concrete", "torch", "flwr", "sklearn", "numpy", "pandas", "grpc", "pydantic"}


def all_errors(root=BlindfitError):
    return [root, *(kind for child in root.__subclasses__() for kind in all_errors(child))]


def test_every_error_has_a_reason_of_its_own_and_a_documented_exit_code():
    reasons = [kind.reason for kind in all_errors()]
    assert len(set(reasons)) == len(reasons)
    assert {kind.exit_code for kind in all_errors()} <= set(exit_codes())


def test_the_documentation_has_the_table_of_exit_codes():
    page = (ROOT / "docs" / "exit-codes.md").read_text()
    rows = {int(code): text for code, text in re.findall(r"^\| (\d+) \| (.+) \|$", page, re.M)}
    assert rows == exit_codes()


@pytest.mark.parametrize("kind", all_errors(), ids=lambda kind: kind.reason)
def test_an_error_survives_the_wire(kind):
    error = kind("what", hint="next", details={"key_id": "ab"})

    class Failed:
        code = staticmethod(lambda: status_of(error))
        details = staticmethod(lambda: "what")
        trailing_metadata = staticmethod(lambda: trailing_metadata(error))

    received = error_from_rpc(Failed())
    assert (type(received), str(received)) == (kind, "what")
    assert received.hint == (kind.default_hint or "the server says: next")
    told = {"action": kind.action} if kind.action else {}
    assert received.details == {"key_id": "ab"} | told


def test_a_reason_nobody_knows_is_a_plain_error():
    assert type(error_from_detail(ErrorDetail("SYSTEM_EXIT", "x", "", {}))) is BlindfitError


@pytest.mark.parametrize("module", ["server_app.cli", "client_app.cli", "keys.cli"])
def test_help_imports_nothing_heavy(module):
    code = f"""
import sys
sys.argv = ["blindfit", "--help"]
from {module} import main
try:
    main()
except SystemExit as end:
    print(end.code, sorted({HEAVY!r} & set(sys.modules)), file=sys.stderr)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr.strip() == "0 []"


def test_a_peers_text_does_not_steer_the_terminal(capsys):
    hostile = "ok\x1b]0;title\x07\x1b[2J\u202egnp[bold]x[/y]\nnext"
    say(hostile)
    print_table("", ["name"], [[hostile]])
    shown = capsys.readouterr()
    for text in (shown.err, shown.out):
        assert "[bold]x[/y]" in text
        assert not {"\x1b", "\x07", "\u202e"} & set(text)


def test_a_failure_with_json_is_one_document(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "client_app.cli", "models", "--home", str(tmp_path), "--json"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 4
    error = json.loads(done.stdout)["error"]
    assert error["reason"] == "NOT_ENROLLED"
    assert "enroll" in error["hint"]
    assert "enroll" in done.stderr
