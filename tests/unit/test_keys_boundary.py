"""Who may touch secret key bytes: the modules that import the access token, and nobody else."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGES = ("blindfit", "keys", "client_app", "server_app")
HOLDERS = {"keys.keyset", "keys.seal", "keys.cipher", "keys.cipher_pool"}


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


def test_nobody_reaches_around_the_token():
    for name, tree in _modules():
        if name != "keys.keyset":
            attributes = {n.attr for n in ast.walk(tree) if isinstance(n, ast.Attribute)}
            assert "_secret" not in attributes, name


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


def test_core_dumps_are_off_in_the_key_process():
    code = (
        "import resource\n"
        "from keys.private import disable_core_dumps\n"
        "disable_core_dumps()\n"
        "print(resource.getrlimit(resource.RLIMIT_CORE))\n"
    )
    limits = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT
    ).stdout
    assert limits.strip() == "(0, 0)"
