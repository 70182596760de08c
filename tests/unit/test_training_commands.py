"""`train --local` and `join` as commands, as far as they need no server."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import typer
from test_estimators import rows
from test_training_rounds import write_study
from typer.testing import CliRunner

from blindfit.errors import InputError, RowsError
from blindfit.study import load_study
from client_app.accepted import accept, is_accepted
from client_app.commands.join import join
from server_app.commands.train import train
from server_app.home import create_home
from server_app.participants import known_participants


def invoke(command: object, *arguments: object) -> str:
    app = typer.Typer()
    app.command()(command)  # type: ignore[type-var]
    result = CliRunner().invoke(app, [str(item) for item in arguments], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.stdout


def test_local_training_prints_one_document(tmp_path: Path) -> None:
    study = write_study(tmp_path, "Ridge")
    X, y = rows("Ridge")
    np.savez(tmp_path / "rows.npz", X=X, y=y)
    printed = invoke(train, study, "--local", tmp_path / "rows.npz", "--no-publish", "--json")
    document = json.loads(printed)
    assert document["training"]["rows"] == 200
    assert document["training"]["history"][0]["r2"] > 0.9
    assert "version" not in document


def test_join_checks_the_rows_before_it_connects(tmp_path: Path) -> None:
    study = write_study(tmp_path, "Ridge")
    X, y = rows("Ridge")
    X[17, 4] = 1.5
    np.savez(tmp_path / "rows.npz", X=X, y=y)
    options = ("--server", "127.0.0.1:1", "--ca", tmp_path / "no.pem", "--key", tmp_path / "no.key")
    with pytest.raises(RowsError, match=r"row 18, column x4: 1\.5 is above max 1"):
        invoke(join, study, "--data", tmp_path / "rows.npz", "--dry-run", *options)


@pytest.fixture
def joining(tmp_path: Path) -> tuple[object, ...]:
    study = write_study(tmp_path, "Ridge")
    X, y = rows("Ridge")
    np.savez(tmp_path / "rows.npz", X=X, y=y)
    return (
        *(study, "--data", tmp_path / "rows.npz", "--home", tmp_path / "home"),
        *("--server", "127.0.0.1:1", "--ca", tmp_path / "no.pem", "--key", tmp_path / "no.key"),
    )


def test_join_says_what_a_study_does_before_anything_else(
    joining: tuple[object, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    document = json.loads(invoke(join, *joining, "--dry-run", "--json"))
    assert document["rows"] == 200
    assert document["digest"] == load_study(joining[0]).digest  # type: ignore[arg-type]
    told = " ".join(document["words"])
    for part in ("Ridge", "5 columns", "127.0.0.1:1", "no row", "under masks", "What is promised"):
        assert part in told


def test_join_asks_and_takes_no_part_without_a_yes(joining: tuple[object, ...]) -> None:
    with pytest.raises(InputError, match="not accepted yet") as caught:
        invoke(join, *joining)
    digest = load_study(joining[0]).digest  # type: ignore[arg-type]
    assert caught.value.hint == f"if you agree, pass --accept {digest}"
    with pytest.raises(InputError, match="names another study"):
        invoke(join, *joining, "--accept", "ab" * 32)
    with pytest.raises(InputError, match="names another study"):
        invoke(join, *joining, "--accept", digest[:6])


def test_a_study_that_was_accepted_is_not_asked_about_again(
    joining: tuple[object, ...], tmp_path: Path
) -> None:
    study = load_study(joining[0])  # type: ignore[arg-type]
    assert not is_accepted(tmp_path / "home", study)
    accept(tmp_path / "home", study)
    assert is_accepted(tmp_path / "home", study)
    with pytest.raises(InputError, match=r"no\.pem is not a PEM"):
        invoke(join, *joining)
    other = study.model_copy(
        update={"federation": study.federation.model_copy(update={"rounds": 9})}
    )
    assert not is_accepted(tmp_path / "home", other)


def test_participants_come_from_files_and_a_name_cannot_be_two_keys(tmp_path: Path) -> None:
    from keys.participant import ensure_participant_key

    home = tmp_path / "server"
    create_home(home, [])
    first, second = tmp_path / "anna.pub", tmp_path / "other"
    first.write_text(ensure_participant_key(tmp_path / "a"))
    second.mkdir()
    (second / "anna.pub").write_text(ensure_participant_key(tmp_path / "b"))

    assert list(known_participants(home, [first])) == ["anna"]
    with pytest.raises(InputError, match="two participants are called anna"):
        known_participants(home, [first, second / "anna.pub"])
    (tmp_path / "berta.pub").write_text(first.read_text())
    with pytest.raises(InputError, match="same key"):
        known_participants(home, [first, tmp_path / "berta.pub"])
    (tmp_path / "carla.pub").write_text("ssh-rsa nonsense")
    with pytest.raises(InputError, match="cannot be read"):
        known_participants(home, [tmp_path / "carla.pub"])


@pytest.mark.parametrize("module", ["client_app.commands.join", "server_app.commands.train"])
def test_the_command_modules_import_nothing_heavy(module: str) -> None:
    heavy = ["numpy", "sklearn", "pandas", "flwr", "pydantic", "grpc", "concrete", "torch"]
    code = f"import sys, {module}; print([m for m in {heavy!r} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
