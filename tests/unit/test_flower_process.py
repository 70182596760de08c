"""Ending Flower's processes: they are found by what is in their environment."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
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


def test_a_program_that_cannot_be_dumped_still_ends_what_it_started():
    done = subprocess.run(
        [sys.executable, "-c", ENDING], capture_output=True, text=True, check=False, cwd=ROOT
    )
    assert done.stdout == "False True\n", done.stderr
