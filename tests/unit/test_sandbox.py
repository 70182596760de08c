"""The process that trains cannot read the keys: each attempt works before `confine`, not after."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from blindfit.errors import AccessError
from client_app import landlock
from client_app.sandbox import Confinement, clean_environment, confine, python_paths

ROOT = Path(__file__).parents[2]
ABI = landlock.abi_version()
needs_landlock = pytest.mark.skipif(ABI == 0, reason="this kernel has no Landlock")
REFUSED = {"EACCES", "EPERM", "EXDEV"}  # the last for what would move out of a folder
SECRET = "AGE-SECRET-KEY"
ATTEMPTS = Path(__file__).with_name("sandbox_attempts.py")


@dataclass
class Surroundings:
    """Keys, data, services and a process of the same user, as an attacker would find them."""

    base: Path
    task: dict[str, object] = field(default_factory=dict)

    def attempt(self, *, confine: bool = True, imported: str = "") -> dict[str, Any]:
        done = subprocess.run(
            [sys.executable, "-W", "ignore", str(ATTEMPTS)],
            input=json.dumps(self.task | {"confine": confine, "imported": imported}),
            env=clean_environment() | {"PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)


@pytest.fixture
def surroundings(tmp_path: Path) -> Iterator[Surroundings]:
    for name in ("data", "work", "keys"):
        (tmp_path / name).mkdir()
    for path in ("data/rows.csv", "data/other.csv", "keys/a.key", "keys/c.key"):
        (tmp_path / path).write_text(SECRET)
    (tmp_path / "data" / "link").symlink_to(tmp_path / "keys" / "a.key")
    (tmp_path / "data" / "folder").symlink_to(tmp_path / "keys")
    with ExitStack() as stack:
        listeners = [stack.enter_context(_listen()) for _ in range(2)]
        services = [stack.enter_context(socket.socket(socket.AF_UNIX)) for _ in range(2)]
        # The path of a socket is short, that of pytest's folders is not.
        short = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        names = [str(short / "bus"), f"\0blindfit-test-{os.getpid()}"]
        for service, name in zip(services, names, strict=True):
            service.bind(name)
            service.listen()
        other = stack.enter_context(_other_process(tmp_path))
        assert other.stdout is not None
        descriptor = int(other.stdout.readline())
        stack.callback(other.kill)
        opened, closed = (listener.getsockname()[1] for listener in listeners)
        task = {
            "secret": SECRET,
            "base": str(tmp_path),
            "other": other.pid,
            "descriptor": descriptor,
        }
        task |= {"open": opened, "closed": closed, "service": names[0], "abstract": names[1]}
        yield Surroundings(tmp_path, task)


def _listen() -> socket.socket:
    return socket.create_server(("127.0.0.1", 0), backlog=64)


def _other_process(folder: Path) -> subprocess.Popen[bytes]:
    """Holds a key open and has a secret in its environment and arguments."""
    code = (
        "import sys, time; f = open('keys/a.key'); print(f.fileno(), flush=True); time.sleep(600)"
    )
    return subprocess.Popen(
        [sys.executable, "-c", code, SECRET],
        cwd=folder,
        env=os.environ | {"A_SECRET": SECRET},
        stdout=subprocess.PIPE,
        # Where Yama restricts ptrace to descendants, ptrace is refused anyway.
    )


@needs_landlock
@pytest.mark.parametrize("imported", ["", "numpy sklearn.linear_model flwr.clientapp"])
def test_whatever_worked_before_is_refused_after(surroundings: Surroundings, imported: str):
    got = surroundings.attempt(imported=imported)
    before, after = got["before"], got["after"]
    # A system may refuse these to everybody: Yama, or a kernel without multipath TCP.
    maybe = {"the other's memory", "the other under ptrace", "multipath tcp"}
    assert {name for name, end in before["forbidden"].items() if end != "done"} <= maybe, before
    assert set(before["allowed"].values()) == {"done"}, before
    assert after["allowed"] == before["allowed"]
    refused = {name for name, end in after["forbidden"].items() if end in REFUSED}
    assert set(after["forbidden"]) - refused <= _LATER, after
    assert got["score"] > 0.9
    assert got["core"] == [0, 0]


# What needs a newer Landlock than this kernel's.
_LATER = frozenset(
    [
        *(["truncate a key"] if ABI < 3 else []),
        *(["another port", "another port, in a child", "bind"] if ABI < 4 else []),
        *(["signal"] if ABI < 6 else []),
    ]
)


def test_without_confinement_nothing_is_refused(surroundings: Surroundings):
    got = surroundings.attempt(confine=False)
    forbidden = got["after"]["forbidden"]
    assert {forbidden[name] for name in ("key", "another port", "service by path")} == {"done"}
    assert got["after"] == got["before"]


THREADS = """
import threading
from pathlib import Path
from client_app.sandbox import confine, python_paths

threading.Thread(target=threading.Event().wait, daemon=True).start()
confinement = confine(python_paths(), [], [])
print(confinement.loose_threads, confinement.complete, confinement.describe())
"""


@needs_landlock
def test_threads_that_ran_before_are_told_of():
    printed = _run(THREADS)
    if ABI >= landlock.ALL_THREADS_ABI:
        assert printed.startswith("0 True ")
    else:
        assert printed.startswith("1 False ")
        assert "1 threads that ran already" in printed


GRPC = """
import sys
from client_app.sandbox import confine, python_paths

confine(python_paths(), [], [int(sys.argv[1])])
import grpc

with grpc.insecure_channel(f"127.0.0.1:{sys.argv[1]}") as channel:
    print(channel.unary_unary("/test/Echo")(b"hello", timeout=20).decode())
with grpc.insecure_channel(f"127.0.0.1:{sys.argv[2]}") as channel:
    try:
        channel.unary_unary("/test/Echo")(b"hello", timeout=20)
    except grpc.RpcError as error:
        print(error.code().name)
"""


@needs_landlock
def test_grpc_reaches_the_named_port_only():
    from concurrent.futures import ThreadPoolExecutor

    import grpc

    class Echo(grpc.GenericRpcHandler):
        def service(self, handler_call_details: object) -> object:
            return grpc.unary_unary_rpc_method_handler(lambda request, context: request)

    server = grpc.server(ThreadPoolExecutor(2), handlers=[Echo()])
    ports = [server.add_insecure_port("127.0.0.1:0") for _ in range(2)]
    server.start()
    try:
        printed = _run(GRPC, *map(str, ports))
    finally:
        server.stop(None)
    assert printed.splitlines() == (["hello", "UNAVAILABLE"] if ABI >= 4 else ["hello", "hello"])


def _run(script: str, *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", script, *arguments],
        env=clean_environment(),
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_paths_that_open_up_a_secret_are_refused(tmp_path: Path):
    keys = tmp_path / "home" / "keys"
    keys.mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / "home")
    for path in (tmp_path, tmp_path / "link", keys, keys / "rows.csv"):
        with pytest.raises(AccessError, match="could be read through"):
            confine([path], [], [], secret=[keys])
        with pytest.raises(AccessError, match="could be read through"):
            confine([], [path], [], secret=[keys])


def test_a_path_that_is_not_there_is_refused(tmp_path: Path):
    script = "import sys, pathlib; from client_app.sandbox import confine\n"
    script += "confine([pathlib.Path(sys.argv[1])], [], [])"
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path / "nowhere")],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ("AccessError" in done.stderr and "nowhere" in done.stderr) or ABI == 0


def test_python_paths_hold_no_home_and_no_source_tree():
    paths = python_paths()
    assert all(path.is_absolute() and path.exists() for path in paths)
    for path in (Path.home(), ROOT, Path("/"), Path("/etc"), Path("/proc"), Path("/tmp")):
        assert path not in paths
    assert {ROOT / "blindfit", ROOT / "client_app", ROOT / "keys"} <= set(paths)


def test_the_environment_keeps_what_python_needs_and_no_way_to_secrets():
    kept = {"PATH": "/bin", "LANG": "C", "LC_ALL": "C", "TMPDIR": "/tmp", "PYTHONPATH": "/x"}
    kept |= {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "HOME": "/h"}
    dropped = {
        *("DBUS_SESSION_BUS_ADDRESS", "XDG_RUNTIME_DIR", "SSH_AUTH_SOCK", "GNOME_KEYRING_CONTROL"),
        *("PYTHON_KEYRING_BACKEND", "GPG_AGENT_INFO", "BLINDFIT_HOME", "BLINDFIT_PASSPHRASE_FILE"),
        *("PYTHONSTARTUP", "PYTHONINSPECT", "PYTHONBREAKPOINT", "LD_PRELOAD", "LD_AUDIT"),
        *("https_proxy", "AWS_SECRET_ACCESS_KEY", "DISPLAY", "XAUTHORITY", "GITHUB_TOKEN"),
        *("FLWR_HOME", "GRPC_VERBOSITY"),
    }
    environment = kept | dict.fromkeys(dropped, "x")
    assert clean_environment(environment) == kept | {"JOBLIB_MULTIPROCESSING": "0"}


@pytest.mark.parametrize(
    ("confinement", "words"),
    [
        (Confinement(files=False), ["warning", "no Landlock", "can read every file"]),
        (Confinement(files=True, abi=1), ["ABI 1", "except for TCP ports", "signals", "Unix"]),
        (Confinement(True, True, True, True, 7), ["confined by the kernel (Landlock ABI 7)"]),
        (Confinement(True, True, True, True, 7, 2), ["except for 2 threads"]),
    ],
)
def test_what_is_enforced_is_said(confinement: Confinement, words: list[str]):
    assert all(word in confinement.describe() for word in words)
    assert confinement.complete == ("except" not in confinement.describe() and confinement.files)


@needs_landlock
@pytest.mark.parametrize("abi", range(1, ABI + 1))
def test_older_kernels_confine_what_they_can(abi: int, tmp_path: Path):
    (tmp_path / "key").write_text(SECRET)
    (tmp_path / "data").mkdir()
    script = f"""
import pathlib, socket
from client_app import landlock, sandbox
landlock.abi_version = lambda: {abi}
confinement = sandbox.confine([*sandbox.python_paths(), pathlib.Path("data")], [], [])
print(confinement.files, confinement.network, confinement.processes)
try:
    open("key")
except PermissionError:
    print("refused")
"""
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=tmp_path,
        env=clean_environment() | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout == f"True {abi >= 4} {abi >= 6}\nrefused\n", done.stderr


def test_a_kernel_without_landlock_is_not_passed_over_in_silence():
    script = """
from client_app import landlock, sandbox
landlock.abi_version = lambda: 0
confinement = sandbox.confine([], [], [])
print(confinement.files, confinement.complete, confinement.describe())
"""
    assert _run(script).startswith("False False warning: this kernel has no Landlock")
