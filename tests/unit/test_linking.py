"""Concrete links circuits by an unquoted shell command."""

import pytest

from blindfit.errors import PublishError
from server_app.linking import check_temporary_folder, linkable_folder


def test_a_plain_folder_stays(tmp_path):
    assert linkable_folder(tmp_path / "workers") == tmp_path / "workers"


@pytest.mark.parametrize("name", ["a b", "a;b", "a$(b)", "a'b", "ä"])
def test_a_folder_that_a_shell_would_read_otherwise_is_replaced(tmp_path, name):
    safe = linkable_folder(tmp_path / name / "workers")
    assert safe.parent.stat().st_mode & 0o777 == 0o700
    assert name not in str(safe)
    safe.parent.rmdir()


def test_publishing_refuses_such_a_temporary_folder(monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", "/tmp/a b")
    with pytest.raises(PublishError, match="cannot be linked"):
        check_temporary_folder()
