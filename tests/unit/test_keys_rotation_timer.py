"""The unit files of the timer: systemd takes them, and so does the command that they call."""

from __future__ import annotations

import shlex
import shutil
import subprocess
from pathlib import Path

import pytest
import typer

from keys.cli import app

FOLDER = Path(__file__).parents[2] / "packaging" / "systemd"
SERVICE = FOLDER / "blindfit-keys-rotate.service"
TIMER = FOLDER / "blindfit-keys-rotate.timer"


def values(path: Path, name: str) -> list[str]:
    lines = path.read_text().splitlines()
    return [line.partition("=")[2] for line in lines if line.startswith(f"{name}=")]


def test_the_service_calls_the_rotate_command_with_options_that_it_has():
    commands = [shlex.split(line) for line in values(SERVICE, "ExecStart")]
    assert [command[1] for command in commands] == ["rotate", "rotate"]
    rotate = typer.main.get_command(app).commands["rotate"]
    keys, identity = [rotate.make_context("rotate", command[2:]).params for command in commands]
    assert keys["all_keys"] and keys["if_older_than"] == "90d"
    assert str(keys["passphrase_file"]) == "%d/passphrase"
    assert identity["identity"] and identity["if_older_than"] == "90d"


def test_the_timer_runs_daily_and_catches_up():
    assert values(TIMER, "OnCalendar") == ["daily"]
    assert values(TIMER, "Persistent") == ["true"]
    assert values(TIMER, "RandomizedDelaySec") == ["2h"]


def test_the_service_keeps_secrets_out_of_core_files_and_arguments():
    assert values(SERVICE, "LimitCORE") == ["0"]
    assert values(SERVICE, "UMask") == ["0077"]
    assert values(SERVICE, "LoadCredentialEncrypted")[0].startswith("passphrase:")


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is not installed")
def test_systemd_takes_the_unit_files(tmp_path):
    program = shutil.which("true")
    text = SERVICE.read_text().replace("/opt/blindfit/bin/blindfit-keys", program)
    (tmp_path / SERVICE.name).write_text(text)
    shutil.copy(TIMER, tmp_path)
    units = [str(tmp_path / SERVICE.name), str(tmp_path / TIMER.name)]
    done = subprocess.run(
        ["systemd-analyze", "verify", *units], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr.strip()) == (0, "")
