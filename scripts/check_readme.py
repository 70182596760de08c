"""Fail when the README or docs name a command or an option that the commands do not have."""

from __future__ import annotations

import re
import shlex
import sys
from pathlib import Path

import click
import typer.main

from client_app.cli import app as client
from keys.cli import app as keys
from server_app.cli import app as server

_PROGRAMS = {"blindfit-client": client, "blindfit-keys": keys, "blindfit-server": server}
_CALL = re.compile(r"(?:^|[$`(])\s*(blindfit-(?:client|keys|server)\b[^`#\n]*)", re.MULTILINE)


def problems(text: str) -> list[str]:
    """What is wrong with the calls in ``text``."""
    found = []
    for call in _CALL.findall(text):
        words = shlex.split(call.split("|")[0].strip(), posix=True)
        found += [f"{call.strip()}: {problem}" for problem in _check(words)]
    return found


def _check(words: list[str]) -> list[str]:
    command: click.Command = typer.main.get_command(_PROGRAMS[words[0]])
    rest = words[1:]
    while isinstance(command, click.Group) and rest and not rest[0].startswith("-"):
        name = rest.pop(0)
        if name not in command.commands:
            return [f"there is no command {name}"]
        command = command.commands[name]
    options = {name for parameter in command.params for name in parameter.opts}
    options |= {"--help", "-h"}
    return [
        f"there is no option {word}"
        for word in rest
        if word.startswith("-") and word.split("=")[0] not in options
    ]


def main() -> int:
    """Check every page; the exit code is 1 if one is wrong."""
    pages = [Path("README.md"), *sorted(Path("docs").rglob("*.md")), *Path("examples").glob("*.md")]
    wrong = [f"{page}: {problem}" for page in pages for problem in problems(page.read_text())]
    print("\n".join(wrong) or f"{len(pages)} pages name only commands and options that exist")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
