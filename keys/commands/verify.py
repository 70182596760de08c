"""``blindfit-keys verify``."""

from __future__ import annotations

import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from blindfit.console import (
    HomeOption,
    JsonOption,
    PassphraseFileOption,
    emit,
    print_table,
    say,
)
from blindfit.home import resolve_home

if TYPE_CHECKING:
    from keys.store import KeyStore
    from keys.verification import Finding

_WRONG = 5  # the exit code for tampered or damaged bytes


def verify(
    offline: Annotated[
        bool, typer.Option("--offline", help="Do not compare with the server.")
    ] = False,
    home: HomeOption = None,
    passphrase_file: PassphraseFileOption = None,
    as_json: JsonOption = False,
) -> None:
    """Check files, signatures, the audit log, journals, and what the server holds.

    With the passphrase every keyset is opened and checked whole; without one (no terminal, no
    --passphrase-file) ONLY ITS HEAD is, and damage to the keys in it is not found. The exit code is
    5 if anything is wrong.
    """
    from keys.commands.connection import open_store

    folder = resolve_home(home)
    store = open_store(folder)
    findings, checked = _check_files(store)
    if "files" in checked and _can_unlock(store, passphrase_file):
        told = {finding.subject for finding in findings}
        whole, opened = _check_whole(folder, passphrase_file)
        findings += [finding for finding in whole if finding.subject not in told]
        checked += ["keysets"] if opened else []
    if "files" in checked and not offline:
        findings += _check_server(folder, store)
        checked.append("server")
    _emit(findings, checked, as_json)
    if findings:
        raise typer.Exit(_WRONG)


def _check_files(store: KeyStore) -> tuple[list[Finding], list[str]]:
    """Without a manifest that can be trusted there is nothing to compare the rest with."""
    from keys.verification import check_audit, check_files, check_journals, check_manifest

    if findings := check_manifest(store):
        return findings, ["signatures"]
    findings = [*check_audit(store), *check_files(store), *check_journals(store)]
    return findings, ["signatures", "audit log", "files", "rotations"]


def _can_unlock(store: KeyStore, passphrase_file: Path | None) -> bool:
    from keys.os_keyring import KIND

    if not store.exists:
        return False
    return passphrase_file is not None or store.lock_kind() == KIND or sys.stdin.isatty()


def _check_whole(home: Path, passphrase_file: Path | None) -> tuple[list[Finding], bool]:
    """What is wrong with the keysets, and whether the store opened: if not, that is a finding."""
    from blindfit.errors import AccessError, InputError, IntegrityError, UnavailableError
    from keys.commands.connection import unlocked_store
    from keys.verification import Finding, check_keysets

    try:
        store = unlocked_store(home, passphrase_file)
    except (AccessError, InputError, IntegrityError, UnavailableError) as error:
        return [Finding("key store", f"it could not be opened: {error}", error.hint)], False
    return check_keysets(store), True


def _check_server(home: Path, store: KeyStore) -> list[Finding]:
    from blindfit.errors import AccessError, UnavailableError
    from keys.commands.connection import connected
    from keys.server_comparison import compare_with_server
    from keys.verification import Finding

    try:
        with connected(home) as (_, channel):
            return list(compare_with_server(store.records(), channel.list_keys()))
    except (AccessError, UnavailableError) as error:
        return [Finding("server", f"it could not be asked: {error}", error.hint)]


def _emit(findings: list[Finding], checked: list[str], as_json: bool) -> None:
    def human() -> None:
        if findings:
            columns = ["where", "problem", "what to do"]
            rows = [[f.subject, f.problem, f.advice] for f in findings]
            print_table("what is wrong", columns, rows)
        else:
            print(f"nothing is wrong; checked: {', '.join(checked)}")

    if "keysets" not in checked:
        say(
            "The keysets were not opened: pass --passphrase-file to check them whole."
            if "files" in checked
            else "The keysets were not opened: what is wrong above has to be put right first."
        )
    document = {"checked": checked, "findings": [asdict(finding) for finding in findings]}
    emit(document, as_json, human)
