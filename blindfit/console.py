"""What the three commands share: options, output, and the one place that catches errors.

Results go to standard output, everything else to standard error. With ``--json`` standard output
holds exactly one JSON document, also when the command fails.
"""

from __future__ import annotations

import json
import os
import stat
import sys
import unicodedata
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer

from blindfit import __version__
from blindfit.errors import AccessError, BlindfitError, InputError

_PIPE_WIDTH = 200  # columns
_INTERRUPTED = 130
_OTHERS = 0o077  # of a file's mode
# Controls, and marks that reorder or hide text (Unicode TR 36).
_CONTROL = frozenset({"Cc", "Cf"})

HomeOption = Annotated[
    Path | None,
    typer.Option(
        "--home", help="Folder of the state [default: $BLINDFIT_HOME, or the user's data]."
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]
PassphraseFileOption = Annotated[
    Path | None,
    typer.Option("--passphrase-file", help="Read the passphrase from this file's first line."),
]


def make_app(name: str, description: str) -> typer.Typer:
    """A Typer app with the options that every command has."""
    app = typer.Typer(
        name=name,
        help=description,
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        rich_markup_mode="markdown",
        context_settings={"help_option_names": ["-h", "--help"]},
    )

    @app.callback()
    def root(
        verbose: Annotated[
            bool, typer.Option("--verbose", "-v", help="Show the causes of an error.")
        ] = False,
        version: Annotated[
            bool,
            typer.Option(
                "--version",
                help="Print the version and exit.",
                callback=_print_version,
                is_eager=True,
            ),
        ] = False,
    ) -> None:
        del version
        if verbose:
            os.environ["BLINDFIT_VERBOSE"] = "1"

    root.__doc__ = description
    return app


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"blindfit {__version__}")
        raise typer.Exit


def run(app: typer.Typer) -> NoReturn:
    """Run a command line and end the process with its exit code (see ``errors.exit_codes``)."""
    try:
        result = app(standalone_mode=False)
        if result == _INTERRUPTED:  # what Typer makes of Ctrl-C
            raise KeyboardInterrupt
        sys.exit(result if isinstance(result, int) else 0)
    except BlindfitError as error:
        _report(error.reason, str(error), error.hint)
        _traceback()
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        _report("INTERRUPTED", "interrupted", "")
        sys.exit(_INTERRUPTED)
    except BrokenPipeError:
        sys.exit(1)
    except Exception as error:  # noqa: BLE001 - the last resort, in one place
        sys.exit(_usage_or_unexpected(error))


def _usage_or_unexpected(error: Exception) -> int:
    import click

    if isinstance(error, click.exceptions.Abort):
        _report("INTERRUPTED", "interrupted", "")
        return _INTERRUPTED
    if isinstance(error, click.ClickException):
        error.show()
        _report_json("USAGE", error.format_message(), "see --help")
        return 2
    _report("INTERNAL", f"{type(error).__name__}: {error}", "run it again with --verbose first")
    _traceback()
    return 1


def _report_json(reason: str, message: str, hint: str) -> None:
    if "--json" in sys.argv:
        print(json.dumps({"error": {"reason": reason, "message": message, "hint": hint}}))


def _report(reason: str, message: str, hint: str) -> None:
    _report_json(reason, message, hint)
    say(f"error: {message}" + (f"\n  → {hint}" if hint else ""))


def _traceback() -> None:
    if os.environ.get("BLINDFIT_VERBOSE"):
        import traceback

        traceback.print_exc()


def printable(text: str) -> str:
    """``text`` without control characters: a peer's text must not steer the terminal."""
    return "".join(c if c == "\n" or unicodedata.category(c) not in _CONTROL else "�" for c in text)


def say(text: str) -> None:
    """A line for the person, on standard error."""
    print(printable(text), file=sys.stderr, flush=True)


def emit(document: dict[str, Any], as_json: bool, human: Callable[[], None]) -> None:
    """The result: ``document`` as JSON, or what ``human`` prints."""
    if as_json:
        print(json.dumps(document, indent=2, sort_keys=False, default=str))
    else:
        human()


def print_table(title: str, columns: list[str], rows: list[list[str]]) -> None:
    """A table on standard output; as wide as it needs to be where that is no terminal."""
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(title=title or None, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    for index, column in enumerate(columns):
        table.add_column(column, overflow="fold", no_wrap=index == 0)
    for row in rows:
        table.add_row(*(Text(printable(cell)) for cell in row))
    Console(width=None if sys.stdout.isatty() else _PIPE_WIDTH).print(table)


def read_passphrase(
    file: Path | None, *, confirm: bool = False, option: str = "--passphrase-file"
) -> bytes:
    """The passphrase from a file's first line, or from a prompt; never from an argument.

    ``option`` is the one by which the command takes the file.
    Raises `InputError` when there is no terminal to ask on, or when the two entries differ;
    `AccessError` for a file that others may use.
    """
    if file is not None:
        return _passphrase_in(file)
    if not sys.stdin.isatty():
        raise InputError("no terminal to ask for the passphrase", hint=f"pass {option} FILE")
    import getpass

    passphrase = getpass.getpass("Passphrase: ")
    if not passphrase:
        raise InputError("the passphrase is empty")
    if confirm and getpass.getpass("Again: ") != passphrase:
        raise InputError("the two passphrases differ; nothing was changed")
    return passphrase.encode()


def _passphrase_in(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            _refuse_shared(path, os.fstat(file.fileno()))
            line = file.readline().rstrip(b"\r\n")
    except OSError as error:
        raise InputError(
            f"cannot read the passphrase file {path}: {error.strerror}",
            hint="its first line is the passphrase, and only you may read it (mode 0600)",
        ) from error
    if not line:
        raise InputError(f"the first line of {path} is empty")
    return line


def _refuse_shared(path: Path, status: os.stat_result) -> None:
    # systemd gives a credential that is root's to the service by an ACL, which shows as the group.
    others = _OTHERS if status.st_uid == os.geteuid() else _OTHERS & ~stat.S_IRGRP
    if stat.S_ISREG(status.st_mode) and status.st_mode & others:
        raise AccessError(
            f"the passphrase file {path} may be used by others "
            f"(mode {stat.S_IMODE(status.st_mode):04o})",
            hint=f"run `chmod 600 {path}`, and change the passphrase if somebody may have read it",
        )
