"""What a process of the same user could try, before and after `confine`; see `test_sandbox`.

Prints what came of each attempt: "done", or the system's name of the error.
"""

# System calls, as an attacker makes them.
# ruff: noqa: PTH101, PTH104, PTH105, PTH123, PTH208

from __future__ import annotations

import ctypes
import errno
import importlib
import json
import os
import resource
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

TASK = json.load(sys.stdin)
SECRET, OTHER = TASK["secret"].encode(), TASK["other"]
DATA, WORK, KEYS = (Path(TASK["base"]) / name for name in ("data", "work", "keys"))
FOLDER_OF_KEYS = os.open(KEYS, os.O_PATH)
LOOPBACK = "127.0.0.1"
CONNECT = "import socket, sys; socket.create_connection(sys.argv[1:3])"
READ = "import sys; open(sys.argv[1]).read()"


def read(path: Path | str) -> None:
    with open(path, "rb") as file:
        assert SECRET in file.read(100_000)


def write(path: Path | str) -> None:
    with open(path, "wb") as file:
        file.write(b"x")


def linked(make: Callable[[Path, Path], None]) -> None:
    link = WORK / make.__name__
    make(KEYS / "a.key", link)
    try:
        read(link)
    finally:
        link.unlink()


def moved() -> None:
    os.rename(KEYS / "a.key", WORK / "moved")
    read(WORK / "moved")
    os.rename(WORK / "moved", KEYS / "a.key")


def in_a_child(code: str, *arguments: object) -> None:
    command = [sys.executable, "-c", code, *map(str, arguments)]
    done = subprocess.run(command, stderr=subprocess.PIPE, text=True, check=False)
    if "PermissionError" in done.stderr:
        raise PermissionError(errno.EACCES, "in a child")
    assert done.returncode == 0, done.stderr


def memory_of_the_other() -> None:
    with open(f"/proc/{OTHER}/maps") as maps, open(f"/proc/{OTHER}/mem", "rb") as memory:
        memory.seek(int(maps.readline().partition("-")[0], 16))
        assert memory.read(4)


def ptrace_the_other() -> None:
    libc, attach, detach = ctypes.CDLL(None, use_errno=True), 16, 17
    if libc.ptrace(attach, OTHER, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "ptrace")
    os.waitpid(OTHER, 0)
    libc.ptrace(detach, OTHER, 0, 0)


def connect(port: int) -> None:
    socket.create_connection((LOOPBACK, port)).close()


def on_a_socket(action: Callable[[socket.socket], object], *kind: int) -> None:
    with socket.socket(*kind) as end:
        action(end)


def fast_open(end: socket.socket) -> None:
    end.sendto(b"x", socket.MSG_FASTOPEN, (LOOPBACK, TASK["closed"]))


def make_and_remove_a_folder() -> None:
    (WORK / "sub").mkdir()
    (WORK / "sub").rmdir()


def write_and_rename() -> None:
    write(WORK / "tmp")
    os.replace(WORK / "tmp", WORK / "out")


UNIX, UDP, MULTIPATH = (socket.AF_UNIX,), (socket.AF_INET, socket.SOCK_DGRAM), 262
FORBIDDEN: dict[str, Callable[[], object]] = {
    "key": lambda: read(KEYS / "a.key"),
    "key beside the data": lambda: read(DATA / ".." / "keys" / "a.key"),
    "key by a link": lambda: read(DATA / "link"),
    "key by a link to its folder": lambda: read(DATA / "folder" / "a.key"),
    "key by our root in proc": lambda: read(f"/proc/self/root{KEYS}/a.key"),
    "key by a thread's root": lambda: read(f"/proc/thread-self/root{KEYS}/a.key"),
    "key by the other's root": lambda: read(f"/proc/{OTHER}/root{KEYS}/a.key"),
    "key by the other's folder": lambda: read(f"/proc/{OTHER}/cwd/keys/a.key"),
    "key by the other's descriptor": lambda: read(f"/proc/{OTHER}/fd/{TASK['descriptor']}"),
    "key by a descriptor of its folder": lambda: os.close(
        os.open("a.key", os.O_RDONLY, dir_fd=FOLDER_OF_KEYS)
    ),
    "key by our descriptor in proc": lambda: read(f"/proc/self/fd/{FOLDER_OF_KEYS}/a.key"),
    "key by a new link": lambda: linked(os.symlink),
    "key by a new hard link": lambda: linked(os.link),
    "key moved here": moved,
    "key in a child": lambda: in_a_child(READ, KEYS / "a.key"),
    "names of keys": lambda: os.listdir(KEYS),
    "the other's environment": lambda: read(f"/proc/{OTHER}/environ"),
    "the other's arguments": lambda: read(f"/proc/{OTHER}/cmdline"),
    "the other's memory": memory_of_the_other,
    "the other under ptrace": ptrace_the_other,
    "a signal to the other": lambda: os.kill(OTHER, 0),
    "a signal to the other in a child": lambda: in_a_child(f"import os; os.kill({OTHER}, 0)"),
    "write to a key": lambda: write(KEYS / "c.key"),
    "truncate a key": lambda: os.truncate(KEYS / "c.key", 0),
    "open a key to others": lambda: os.chmod(KEYS / "c.key", 0o644),
    "write to the data": lambda: write(DATA / "other.csv"),
    "write outside": lambda: write(WORK.parent / "outside"),
    "another port": lambda: connect(TASK["closed"]),
    "another port in a child": lambda: in_a_child(CONNECT, LOOPBACK, TASK["closed"]),
    "another port by fast open": lambda: on_a_socket(fast_open),
    "multipath tcp": lambda: on_a_socket(lambda end: None, socket.AF_INET, 1, MULTIPATH),
    "bind": lambda: on_a_socket(lambda end: end.bind((LOOPBACK, 0))),
    "listen": lambda: on_a_socket(lambda end: end.listen()),
    "udp": lambda: on_a_socket(lambda end: end.sendto(b"x", (LOOPBACK, TASK["closed"])), *UDP),
    "service by path": lambda: on_a_socket(lambda end: end.connect(TASK["service"]), *UNIX),
    "abstract service": lambda: on_a_socket(lambda end: end.connect(TASK["abstract"]), *UNIX),
}
ALLOWED: dict[str, Callable[[], object]] = {
    "data": lambda: read(DATA / "rows.csv"),
    "write": write_and_rename,
    "folders": make_and_remove_a_folder,
    "port": lambda: connect(TASK["open"]),
    "null": lambda: write("/dev/null"),
    "random": lambda: Path("/dev/urandom").open("rb").close(),
    "child": lambda: in_a_child("import ssl, json, decimal"),
    "end a child": lambda: subprocess.Popen([sys.executable, "-c", "input()"]).kill(),
    "pair of sockets": lambda: [end.close() for end in socket.socketpair()],
}


def attempt(action: Callable[[], object]) -> str:
    try:
        action()
    except OSError as error:
        return errno.errorcode.get(error.errno or 0, str(error))
    return "done"


def attempt_all() -> dict[str, dict[str, str]]:
    groups = {"forbidden": FORBIDDEN, "allowed": ALLOWED}
    return {
        group: {name: attempt(action) for name, action in actions.items()}
        for group, actions in groups.items()
    }


def train() -> float:
    from sklearn.datasets import load_digits
    from sklearn.linear_model import LogisticRegression

    X, y = load_digits(return_X_y=True)
    model = LogisticRegression(max_iter=20, n_jobs=2, multi_class="ovr")
    return float(model.fit(X[:600], y[:600]).score(X[:600], y[:600]))


def main() -> None:
    for name in TASK["imported"].split():
        importlib.import_module(name)
    from client_app.sandbox import confine, python_paths

    result: dict[str, Any] = {"before": attempt_all()}
    if TASK["confine"]:
        confine([*python_paths(), DATA], [WORK], [TASK["open"]])
        importlib.import_module("flwr.clientapp")
        result |= {"score": train(), "core": resource.getrlimit(resource.RLIMIT_CORE)}
    json.dump(result | {"after": attempt_all()}, sys.stdout)


main()
