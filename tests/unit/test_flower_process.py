"""Nothing that Flower's programs start outlives them, or us."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from blindfit.flower_process import FlowerProcess

ROOT = Path(__file__).parents[2]
BOUND = 20.0  # seconds; what ignores SIGTERM gets a few before SIGKILL

ENDING = """
import os, subprocess
import psutil
from blindfit.flower_process import _MARK, _end
from keys.private import disable_core_dumps

disable_core_dumps()
if os.geteuid() == 0:  # root may read every environment: what we ask is whether others may
    os.setgroups([])
    os.setgid(65534)
    os.setuid(65534)
marked, other = (
    subprocess.Popen(["sleep", "600"], env=os.environ | {_MARK: mark}, cwd="/")
    for mark in ("ours", "another's")
)
try:
    _end("ours")
    print(psutil.pid_exists(marked.pid), psutil.pid_exists(other.pid))
finally:
    marked.kill()
    other.kill()
"""

# A program with a child, and with a grandchild that forked twice, has a session of its own and a
# child itself. With --deaf, the grandchild ignores SIGTERM; with --end, the program ends by itself.
TREE = """
import os, signal, subprocess, sys, time
from pathlib import Path

subprocess.Popen(["sleep", "600"])
if os.fork() == 0:
    if os.fork() == 0:
        os.setsid()
        if "--deaf" in sys.argv:
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
        subprocess.Popen(["sleep", "600"])
        Path("ready").touch()
        time.sleep(600)
    os._exit(0)
while not Path("ready").exists():
    time.sleep(0.01)
if "--end" in sys.argv:
    sys.exit(7)
time.sleep(600)
"""

# A process of ours with such a tree. With a fork of its own that holds all its pipes, on demand.
OWNER = """
import os, signal, sys, time
from pathlib import Path
from blindfit.flower_process import FlowerProcess, sigterm_as_interrupt

# As on a terminal: where tests run in the background these are ignored, and that is inherited.
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGHUP, signal.SIG_DFL)
folder, mark = Path(sys.argv[1]), sys.argv[2]
command = [sys.executable, str(folder / "tree.py"), *sys.argv[3:]]
marked = {"TEST_MARK": mark}
with sigterm_as_interrupt(), FlowerProcess(command, folder, folder / "log", environment=marked):
    if "--fork" in sys.argv and os.fork() == 0:
        time.sleep(60)
    while not (folder / "ready").exists():
        time.sleep(0.01)
    print("ready", flush=True)
    time.sleep(600)
"""


def marked(mark: str) -> list[str]:
    """The command lines of all processes with ``mark`` in their environment."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdecimal() and mark in (entry / "environ").read_text(errors="replace"):
                found.append((entry / "cmdline").read_text().replace("\0", " "))
        except OSError:
            continue
    return found


def wait_until_none(mark: str, seconds: float = BOUND) -> None:
    deadline = time.monotonic() + seconds
    while left := marked(mark):
        assert time.monotonic() < deadline, left
        time.sleep(0.05)


def wait_until_all(mark: str) -> None:
    """The program, its child, the grandchild and its child, and the supervisor."""
    deadline = time.monotonic() + BOUND
    while len(found := marked(mark)) != 5:  # the one between may still be there
        assert time.monotonic() < deadline, found
        time.sleep(0.01)


@pytest.fixture
def mark(tmp_path: Path) -> Iterator[str]:
    (tmp_path / "tree.py").write_text(TREE)
    mark = f"mark-{tmp_path}"
    yield mark
    for entry in Path("/proc").iterdir():  # whatever a failed test leaves
        try:
            if entry.name.isdecimal() and mark in (entry / "environ").read_text(errors="replace"):
                os.kill(int(entry.name), signal.SIGKILL)
        except OSError:
            continue


def start(folder: Path, mark: str, *arguments: str, stdin: bytes | None = None) -> FlowerProcess:
    command = [sys.executable, *(arguments or (str(folder / "tree.py"),))]
    return FlowerProcess(
        command, folder, folder / "log", stdin=stdin, environment={"TEST_MARK": mark}
    )


def start_owner(folder: Path, mark: str, *arguments: str) -> subprocess.Popen[str]:
    owner = subprocess.Popen(
        [sys.executable, "-c", OWNER, str(folder), mark, *arguments],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert owner.stdout is not None
    assert owner.stdout.readline() == "ready\n"
    wait_until_all(mark)
    return owner


def wait_for(path: Path) -> None:
    deadline = time.monotonic() + BOUND
    while not path.exists():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_program_that_cannot_be_dumped_still_ends_what_it_started():
    done = subprocess.run(
        [sys.executable, "-c", ENDING], capture_output=True, text=True, check=False, cwd=ROOT
    )
    assert done.stdout == "False True\n", done.stderr


def test_sigkill_of_the_owner_leaves_nothing(tmp_path: Path, mark: str):
    with start_owner(tmp_path, mark, "--deaf") as owner:
        owner.kill()
    wait_until_none(mark)


def test_sigkill_leaves_nothing_though_a_fork_of_the_owner_holds_its_pipes(
    tmp_path: Path, mark: str
):
    owner = start_owner(tmp_path, mark, "--fork")
    try:
        owner.kill()
        wait_until_none(mark)
    finally:
        os.killpg(owner.pid, signal.SIGKILL)
        owner.communicate()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_to_the_owner_leaves_nothing(tmp_path: Path, mark: str, number: signal.Signals):
    owner = start_owner(tmp_path, mark)
    os.killpg(owner.pid, number)  # as a terminal does
    owner.communicate(timeout=BOUND)
    if number == signal.SIGHUP:  # which ends the owner at once
        wait_until_none(mark)
    assert marked(mark) == []


def test_an_impatient_second_ctrl_c_leaves_nothing(tmp_path: Path, mark: str):
    owner = start_owner(tmp_path, mark, "--deaf")
    os.killpg(owner.pid, signal.SIGINT)
    time.sleep(0.3)
    os.killpg(owner.pid, signal.SIGINT)
    _, errors = owner.communicate(timeout=BOUND)
    assert "KeyboardInterrupt" in errors
    assert marked(mark) == []


def test_stop_ends_the_tree_and_may_be_called_again(tmp_path: Path, mark: str):
    process = start(tmp_path, mark)
    wait_for(tmp_path / "ready")
    assert process.alive
    assert process.returncode is None
    process.stop()
    assert marked(mark) == []
    assert not process.alive
    assert process.returncode == -signal.SIGTERM
    started = time.monotonic()
    process.stop()
    assert time.monotonic() - started < 5


def test_a_program_that_ends_takes_its_descendants_along(tmp_path: Path, mark: str):
    process = start(tmp_path, mark, str(tmp_path / "tree.py"), "--end", "--deaf")
    deadline = time.monotonic() + BOUND
    while process.alive:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert process.returncode == 7
    wait_until_none(mark)  # nobody called stop()
    process.stop()
    assert process.returncode == 7


def test_the_death_of_the_supervisor_ends_the_program_and_stop_the_rest(tmp_path: Path, mark: str):
    process = start(tmp_path, mark)
    wait_for(tmp_path / "ready")
    wait_until_all(mark)
    os.kill(process._supervised._supervisor.pid, signal.SIGKILL)
    deadline = time.monotonic() + BOUND
    while process.alive or len(marked(mark)) > 3:  # what the program started is left so far
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert process.returncode == -signal.SIGKILL
    process.stop()
    assert marked(mark) == []


def test_a_dropped_object_ends_the_program(tmp_path: Path, mark: str):
    process = start(tmp_path, mark)
    wait_for(tmp_path / "ready")
    with pytest.warns(ResourceWarning):
        del process
    wait_until_none(mark)


def test_the_end_of_the_thread_that_started_it_does_not_end_it(tmp_path: Path, mark: str):
    started: list[FlowerProcess] = []
    thread = threading.Thread(target=lambda: started.append(start(tmp_path, mark)))
    thread.start()
    thread.join()
    wait_for(tmp_path / "ready")
    time.sleep(0.2)
    with started[0] as process:
        assert process.alive


@pytest.mark.parametrize("size", [0, 20, 3_000_000])  # more than any pipe holds
def test_standard_input_is_delivered_whole_and_nowhere_else(tmp_path: Path, mark: str, size: int):
    given = b"a secret word\n" + os.urandom(size)
    program = (
        "import sys, time, pathlib; data = sys.stdin.buffer.read();"
        "pathlib.Path('got').write_bytes(data); pathlib.Path('done').touch(); time.sleep(600)"
    )
    with start(tmp_path, mark, "-c", program, stdin=given):
        wait_for(tmp_path / "done")
        assert (tmp_path / "got").read_bytes() == given
        assert len(marked(mark)) == 2
        for entry in Path("/proc").glob("[0-9]*"):
            for name in ("environ", "cmdline"):
                try:
                    assert b"a secret word" not in (entry / name).read_bytes()
                except OSError:
                    continue


def test_a_program_that_does_not_read_its_standard_input_runs_and_stops(tmp_path: Path, mark: str):
    process = start(tmp_path, mark, "-c", "import time; time.sleep(600)", stdin=bytes(3_000_000))
    assert process.alive
    process.stop()
    assert process.returncode == -signal.SIGTERM


def test_a_program_without_standard_input_reads_its_end(tmp_path: Path, mark: str):
    with start(tmp_path, mark, "-c", "import sys; sys.exit(len(sys.stdin.read()))") as process:
        deadline = time.monotonic() + BOUND
        while process.alive:
            assert time.monotonic() < deadline
            time.sleep(0.01)
    assert process.returncode == 0


def test_a_program_that_is_not_there_is_told_of(tmp_path: Path):
    with pytest.raises(FileNotFoundError, match="flower-nonsuch"):
        FlowerProcess(["flower-nonsuch"], tmp_path, tmp_path / "log")


def test_the_log_is_the_programs_own(tmp_path: Path, mark: str):
    program = "import sys; print('out'); print('err', file=sys.stderr); sys.exit(3)"
    with start(tmp_path, mark, "-u", "-c", program) as process:
        while process.alive:
            time.sleep(0.01)
    assert process.log_tail() == "out\nerr"
    assert process.returncode == 3


def test_only_what_is_inherited_is_in_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("BLINDFIT_SECRET", "1")
    program = "import json, os, sys; json.dump(dict(os.environ), sys.stdout)"
    command = [sys.executable, "-c", program]
    log = tmp_path / "log"
    with FlowerProcess(
        command, tmp_path, log, inherited={"PATH": "/bin"}, environment={"OWN": "2"}
    ) as process:
        while process.alive:
            time.sleep(0.01)
    text = process.log_tail()
    assert '"OWN": "2"' in text
    assert '"FLWR_TELEMETRY_ENABLED": "0"' in text
    assert "BLINDFIT_SECRET" not in text


def test_supervision_costs_little(tmp_path: Path, mark: str):
    seconds = []
    for _ in range(5):
        started = time.perf_counter()
        process = start(tmp_path, mark, "-S", "-c", "import time; time.sleep(600)")
        seconds.append(time.perf_counter() - started)
        status = Path(f"/proc/{process._supervised._supervisor.pid}/status").read_text()
        process.stop()
        kilobytes = int(status.partition("VmRSS:")[2].split()[0])
        assert kilobytes < 20_000
    assert min(seconds) < 0.5, seconds  # 0.02 on a machine that does nothing else
