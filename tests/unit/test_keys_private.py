"""What somebody may put where the store expects files and folders of its own."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from fixtures_store import add, primary, reopened

from blindfit.errors import AccessError
from blindfit.strict_json import loads_strict
from keys.in_use import using, wait_until_unused
from keys.journals import Journals
from keys.lock import exclusive
from keys.private import read_private, read_public
from keys.states import KeyState
from keys.store import KeyStore
from keys.verification import check_files, check_journals


def make_pipe(path: Path) -> None:
    os.mkfifo(path, 0o600)


def make_link(path: Path) -> None:
    path.symlink_to(path.with_name("elsewhere"))


def make_folder(path: Path) -> None:
    path.mkdir(mode=0o700)


KINDS = [make_pipe, make_link, make_folder]


@pytest.mark.parametrize("read", [read_private, read_public])
@pytest.mark.parametrize("make", KINDS)
def test_only_a_regular_file_is_read(tmp_path, make, read):
    make(tmp_path / "file")
    with pytest.raises(AccessError):
        read(tmp_path / "file")


@pytest.mark.parametrize("make", [make_link, make_folder])
def test_only_a_file_is_locked(tmp_path, make):
    make(tmp_path / "lock")
    with pytest.raises(AccessError, match="not a file to lock"), exclusive(tmp_path / "lock"):
        pass
    assert not (tmp_path / "elsewhere").exists()


@pytest.mark.parametrize("make", [make_link, make_folder])
def test_what_is_no_file_does_not_tell_that_a_key_is_in_use(tmp_path, make):
    (tmp_path / "in-use").mkdir(mode=0o700)
    make(tmp_path / "in-use" / "key")
    with pytest.raises(AccessError), using(tmp_path, "key"):
        pass
    with pytest.raises(AccessError):
        wait_until_unused(tmp_path, "key", timeout=0, report=print)


def test_keysets_in_a_folder_of_others_are_not_opened(store, root):
    keyset = primary(store)
    (root / "keysets").chmod(0o777)
    with pytest.raises(AccessError, match="others"):
        store.open(keyset.key_id)
    with pytest.raises(AccessError, match="others"):
        reopened(root)
    (finding,) = check_files(KeyStore(root))
    assert "chmod" in finding.advice


def test_journals_in_a_folder_of_others_are_not_read(store, root):
    (root / "rotations").mkdir()
    (root / "rotations").chmod(0o777)
    with pytest.raises(AccessError, match="others"):
        Journals(store).all()
    (finding,) = check_journals(store)
    assert "chmod" in finding.advice


def test_a_keysets_folder_that_leads_elsewhere_is_refused(store, root):
    keyset = primary(store)
    (root / "keysets").rename(root / "moved")
    (root / "keysets").symlink_to(root / "moved")
    with pytest.raises(AccessError, match="symbolic link"):
        store.open(keyset.key_id)


def test_erasing_a_keyset_leaves_the_content_of_another_name(store, root, tmp_path):
    keyset = add(store)
    (tmp_path / "precious").write_bytes(b"precious")
    path = root / "keysets" / f"{keyset.key_id}.keyset"
    path.unlink()
    os.link(tmp_path / "precious", path)
    store.destroy(keyset.key_id)
    assert (tmp_path / "precious").read_bytes() == b"precious" and not path.exists()


@pytest.mark.parametrize("make", [make_pipe, make_link])
def test_erasing_removes_what_took_the_place_of_a_file(store, root, make):
    keyset = add(store)
    path = root / "keysets" / f"{keyset.key_id}.keyset"
    path.unlink()
    make(path)
    assert store.destroy(keyset.key_id).state is KeyState.DESTROYED
    assert not os.path.lexists(path)


def test_folders_with_the_names_of_files_do_not_stop_the_store(store, root):
    keyset, destroyed = primary(store), add(store, "other", params_id="ef" * 32)
    store.destroy(destroyed.key_id)
    for name in (".x.tmp", "keysets/.x.tmp", f"keysets/{destroyed.key_id}.keyset"):
        (root / name).mkdir(mode=0o700)
    assert reopened(root).open(keyset.key_id).same_secret(keyset)


@pytest.mark.parametrize("document", ["[" * 200_000, "1e999", "[-1e400]", "NaN", '{"a":1,"a":2}'])
def test_strict_json_refuses_by_one_error(document):
    with pytest.raises(ValueError, match=r"deep|large|not a number|repeated"):
        loads_strict(document)
