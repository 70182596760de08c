"""Who may touch secret key bytes: the modules that import the access token, and nobody else."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ("blindfit", "keys", "client_app", "server_app")
HOLDERS = {"keys.keyset", "keys.seal", "keys.assembly", "keys.cipher", "keys.cipher_pool"}
UNWRAP_DATA_KEYS = {"keys.stanzas", "keys.recovery", "keys.os_keyring"}
PROGRAMS = ["keys.cli", "keys.cipher_host", "client_app.cli", "client_app.session"]
TAKE_DATA_KEYS = {"keys.seal", "keys.sealed_files", "keys.restoring"}


def _modules():
    for package in PACKAGES:
        for path in (ROOT / package).rglob("*.py"):
            name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
            yield name, ast.parse(path.read_text())


def _imported(tree: ast.Module) -> set[str]:
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module)
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def test_only_the_listed_modules_hold_the_access_token():
    holders = {name for name, tree in _modules() if "keys.access" in _imported(tree)}
    assert holders == HOLDERS


def test_only_the_listed_modules_wrap_and_unwrap():
    importers = {name for name, tree in _modules() if "keys.wrapping" in _imported(tree)}
    assert importers == UNWRAP_DATA_KEYS


def test_only_the_listed_modules_take_the_data_key_of_a_sealed_file():
    takers = {"keys.seal.open_data_key", "keys.seal.unwrap_envelope"}
    users = {name for name, tree in _modules() if takers & _imported(tree)}
    assert users | {"keys.seal"} == TAKE_DATA_KEYS


def test_nobody_reaches_around_the_token():
    for name, tree in _modules():
        if name not in {"keys.keyset", "keys.os_keyring"}:  # each its own
            attributes = {n.attr for n in ast.walk(tree) if isinstance(n, ast.Attribute)}
            assert "_secret" not in attributes, name
        if name not in HOLDERS:
            assert "keys.secret_message" not in _imported(tree) - {name}, name


def test_nothing_passes_a_key_folder_to_concrete():
    for name, tree in _modules():
        for node in ast.walk(tree):
            if isinstance(node, ast.Call):
                assert "key_dir" not in {keyword.arg for keyword in node.keywords}, name


def test_the_command_line_imports_nothing_heavy():
    code = "import keys.cli, sys; print(*sorted({name.split('.')[0] for name in sys.modules}))"
    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT
    ).stdout.split()
    heavy = {"concrete", "torch", "flwr", "sklearn", "pandas", "numpy", "grpc", "pydantic"}
    assert not heavy & set(loaded)


def test_disabling_core_dumps_survives_a_core_pattern_that_is_a_pipe():
    code = (
        "import ctypes, resource, sys\n"
        "from keys.private import disable_core_dumps\n"
        "disable_core_dumps()\n"
        "print(resource.getrlimit(resource.RLIMIT_CORE))\n"
        "print(ctypes.CDLL(None).prctl(3, 0, 0, 0, 0) if sys.platform == 'linux' else 0)\n"
    )
    printed = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT
    ).stdout.splitlines()
    assert printed == ["(0, 0)", "0"]  # PR_GET_DUMPABLE


@pytest.mark.parametrize("name", PROGRAMS)
def test_every_program_that_holds_secrets_disables_core_dumps(name):
    tree = dict(_modules())[name]
    calls = {n.func.id for n in ast.walk(tree) if isinstance(n, ast.Call) and hasattr(n.func, "id")}
    assert "disable_core_dumps" in calls
