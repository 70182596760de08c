"""The bytes of evaluation keys: what is checked is what is kept, and what a crash leaves."""

from __future__ import annotations

import shutil
import threading
from dataclasses import replace

import pytest
from fixtures_crash import kill_points
from fixtures_disk import DiskLog
from fixtures_evaluation_keys import FRAME, SIZE, Key, Server
from fixtures_server import honest

from blindfit.errors import InputError, KeyNotUploadedError
from server_app.arriving import ArrivingHashes
from server_app.key_files import KeyFiles


def test_a_complete_key_is_on_the_disk_before_its_name(server, tmp_path, monkeypatch):
    key = Key()
    server.begin(key)
    server.write(key, 0, key.content)
    disk = DiskLog(tmp_path)
    disk.install(monkeypatch)
    server.uploads.commit("clinic", key.id, lambda params_id: FRAME)
    path = server.files.path("clinic", key.id).relative_to(tmp_path)
    assert disk.names() == [str(path)]


def test_wrong_bytes_are_removed_also_if_a_crash_came_between(server):
    key = Key()
    server.begin(key)
    server.write(key, 0, honest(SIZE))
    with pytest.raises(InputError, match="do not have the hash"):
        server.files.finish(key.upload, FRAME)  # and no change of the row
    assert server.begin(key).received == SIZE
    with pytest.raises(InputError, match="do not have the hash"):
        server.uploads.commit("clinic", key.id, lambda params_id: FRAME)
    assert list(server.files.stored()) == []


class SlowFrame:
    """A frame during whose check somebody else acts."""

    length = SIZE

    def __init__(self, act):
        self._act = act

    def check(self, message, what):
        self.thread = threading.Thread(target=self._act)
        self.thread.start()
        self.thread.join(0.3)  # whoever need not wait is done by then
        FRAME.check(message, what)


def test_nobody_writes_to_a_key_while_it_is_checked(tmp_path):
    key, files, told = Key(), KeyFiles(tmp_path), []
    longer = replace(key.upload, size=SIZE + 8)

    def write_more():
        try:
            told.append(files.write(longer, SIZE, bytes(8), lambda: True))
        except KeyNotUploadedError:
            told.append("too late")

    files.begin("clinic", key.id)
    files.write(key.upload, 0, key.content, lambda: True)
    slow = SlowFrame(write_more)
    files.finish(key.upload, slow)
    slow.thread.join(10)
    assert told == ["too late"]
    assert files.path("clinic", key.id).read_bytes() == key.content


def test_a_hash_of_other_bytes_than_the_files_is_of_no_use(tmp_path):
    hashes, salt = ArrivingHashes(), bytes(16)
    hashes.add(tmp_path, salt, 0, memoryview(b"begin"))
    hashes.add(tmp_path, salt, 9, memoryview(b"behind a gap"))
    assert hashes.take(tmp_path, 21) is None


# -- crashes -------------------------------------------------------------------------------------


def test_a_key_is_refused_before_its_bytes_go(template, home):
    key, tried = Key(), 0

    def prepare():
        _again(template, home)
        Server(home).stage(key)

    for _ in kill_points(home, prepare, lambda: Server(home).keys.revoke("clinic", key.id)):
        tried += 1
        server = Server(home)
        assert server.state(key) == "REVOKED"
        server.collection.collect()
        assert server.state(key) == "DELETED" and list(server.files.stored()) == []
    assert tried >= 2


def test_an_upload_is_forgotten_before_its_bytes_go(template, home):
    key, tried = Key(), 0

    def prepare():
        _again(template, home)
        server = Server(home)
        server.begin(key)
        server.write(key, 0, key.content)

    for _ in kill_points(home, prepare, lambda: Server(home).uploads.forget("clinic", key.id)):
        tried += 1
        server = Server(home)
        assert server.keys.of_tenant("clinic") == []
        server.collection.collect()
        assert list(server.files.stored()) == []
        assert server.stage(key).state == "STAGED"
    assert tried >= 2


def test_bytes_of_a_deleted_key_that_came_back_with_a_power_cut_are_removed(server):
    key = Key()
    server.stage(key)
    server.keys.revoke("clinic", key.id)
    server.collection.collect()
    server.files.path("clinic", key.id).write_bytes(key.content)
    assert server.state(key) == "DELETED"
    assert server.collection.collect().stray_files == 1
    assert list(server.files.stored()) == []


def _again(template, home):
    shutil.rmtree(home)
    shutil.copytree(template, home)
