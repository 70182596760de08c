"""Evaluation keys on the server: upload, activation, refusal, cleaning up."""

from __future__ import annotations

import errno
import os
import threading
from dataclasses import replace

import pytest
from fixtures_evaluation_keys import FRAME, SIZE, Key, Server
from fixtures_server import honest

from blindfit.errors import (
    CiphertextError,
    InputError,
    KeyMismatchError,
    KeyNotUploadedError,
    KeyRevokedError,
    KeyStagedError,
    KeyStateError,
    LimitError,
    UnavailableError,
)
from server_app.key_collection import Collected

# -- uploading -----------------------------------------------------------------------------------


def test_a_complete_upload_is_staged_and_holds_the_very_bytes(server):
    key = Key()
    status = server.stage(key)
    assert (status.state, status.size, status.received) == ("STAGED", SIZE, SIZE)
    stored = server.usable(key, prove=True)
    assert stored.path.read_bytes() == key.content
    assert stored.path.stat().st_mode & 0o777 == 0o600


def test_an_upload_goes_on_where_it_ended_also_in_another_process(server, home):
    key = Key()
    server.begin(key)
    server.write(key, 0, key.content[:1500])
    again = Server(home)
    assert again.begin(key).received == 1500
    again.write(key, 1500, key.content[1500:])
    assert again.uploads.commit("clinic", key.id, lambda params_id: FRAME).state == "STAGED"


def test_a_piece_that_comes_again_changes_nothing(server):
    key = Key()
    server.begin(key)
    server.write(key, 0, key.content[:2000])
    server.write(key, 500, key.content[500:2500])
    assert server.begin(key).received == 2500
    server.write(key, 2500, key.content[2500:])
    assert server.uploads.commit("clinic", key.id, lambda params_id: FRAME).state == "STAGED"


def test_beginning_and_committing_again_is_harmless(server):
    key = Key()
    server.stage(key)
    assert server.begin(key).state == "STAGED"
    assert server.uploads.commit("clinic", key.id, lambda params_id: FRAME).state == "STAGED"
    with pytest.raises(KeyStateError, match="upload is over"):
        server.write(key, 0, b"x")


def test_a_gap_and_too_many_bytes_are_refused(server):
    key = Key()
    server.begin(key)
    with pytest.raises(InputError, match="missing"):
        server.write(key, 1, b"x")
    with pytest.raises(InputError, match="has more"):
        server.write(key, 0, key.content + b"x")


def test_a_full_disk_is_told_and_the_upload_goes_on_when_there_is_room(server, monkeypatch):
    key, write = Key(), os.pwrite

    def full(descriptor, data, offset):
        monkeypatch.setattr(os, "pwrite", fails)
        return write(descriptor, data[:100], offset)

    def fails(*_):
        raise OSError(errno.ENOSPC, "no space left")

    server.begin(key)
    monkeypatch.setattr(os, "pwrite", full)
    with pytest.raises(UnavailableError, match="disk is full"):
        server.write(key, 0, key.content)
    monkeypatch.setattr(os, "pwrite", write)
    assert server.begin(key).received == 100
    server.write(key, 100, key.content[100:])
    assert server.uploads.commit("clinic", key.id, lambda params_id: FRAME).state == "STAGED"


def test_wrong_bytes_end_the_upload_and_the_id_may_come_again(server):
    key = Key()
    server.begin(key)
    server.write(key, 0, honest(SIZE))
    with pytest.raises(InputError, match="do not have the hash"):
        server.uploads.commit("clinic", key.id, lambda params_id: FRAME)
    with pytest.raises(KeyNotUploadedError):
        server.state(key)
    assert server.stage(key).state == "STAGED"


def test_too_few_bytes_are_refused(server):
    key = Key()
    server.begin(key)
    server.write(key, 0, key.content[:-1])
    with pytest.raises(InputError, match=f"has {SIZE - 1} bytes"):
        server.uploads.commit("clinic", key.id, lambda params_id: FRAME)


def test_a_key_whose_frame_lies_is_refused_though_its_hash_is_right(server):
    forged = bytearray(honest(SIZE))
    forged[3] ^= 1
    key = Key(bytes(forged))
    with pytest.raises(CiphertextError, match="evaluation key"):
        server.stage(key)
    assert list(server.files.stored()) == []


def test_nothing_can_be_written_while_or_after_a_key_is_checked(server):
    key = Key()
    server.stage(key)
    with pytest.raises(KeyNotUploadedError):
        server.files.write(key.upload, 0, b"x", lambda: True)


@pytest.mark.parametrize(
    "change",
    [{"key_id": "AB" * 32}, {"key_id": "../" * 21 + "x"}, {"salt": b"short"}, {"size": SIZE + 8}],
)
def test_a_malformed_announcement_is_refused(server, change):
    announced = replace(Key().announced, **change)
    with pytest.raises(InputError):
        server.uploads.begin("clinic", announced, FRAME)


def test_one_id_cannot_be_announced_in_two_ways(server):
    key = Key()
    server.begin(key)
    with pytest.raises(InputError, match="announced differently"):
        server.uploads.begin("clinic", replace(key.announced, params_id="cd" * 32), FRAME)


@pytest.mark.parametrize("limits", [{"keys_per_tenant": 2}, {"key_bytes_per_tenant": 2 * SIZE}])
def test_the_quota_counts_uploads_that_have_only_begun_and_each_tenant_alone(home, limits):
    server = Server(home, **limits)
    first = Key()
    server.stage(first)
    server.begin(Key())
    with pytest.raises(LimitError):
        server.begin(Key())
    assert server.begin(Key(), "rival").state == "UPLOADING"
    server.keys.revoke("clinic", first.id)
    assert server.begin(Key()).state == "UPLOADING"


def test_a_key_larger_than_the_limit_is_refused(home):
    with pytest.raises(LimitError):
        Server(home, max_evaluation_key=1024).begin(Key())


def test_a_commit_that_crashed_after_its_rename_is_finished_by_the_next(server):
    key = Key()
    server.begin(key)
    server.write(key, 0, key.content)
    server.files.finish(key.upload, FRAME)  # and no change of the row
    status = server.begin(key)
    assert (status.state, status.received) == ("UPLOADING", SIZE)
    assert server.uploads.commit("clinic", key.id, lambda params_id: FRAME).state == "STAGED"


# -- whose key, and in which state ---------------------------------------------------------------


def test_another_tenants_key_is_exactly_as_unknown_as_one_that_does_not_exist(server):
    key = Key()
    server.stage(key)
    server.activate(key)
    absent = Key()
    attempts = [
        lambda k: server.keys.status("rival", k.id),
        lambda k: server.write(k, 0, b"x", "rival"),
        lambda k: server.uploads.commit("rival", k.id, lambda params_id: FRAME),
        lambda k: server.activate(k, tenant="rival"),
        lambda k: server.keys.revoke("rival", k.id),
        lambda k: server.usable(k, tenant="rival", prove=True),
    ]
    for attempt in attempts:
        told = []
        for asked in (key, absent):
            with pytest.raises(KeyNotUploadedError) as error:
                attempt(asked)
            told.append((str(error.value), error.value.hint, sorted(error.value.details)))
        assert told[0] == told[1]
    assert server.keys.of_tenant("rival") == []
    assert server.state(key) == "ACTIVE"


def test_two_tenants_with_the_same_bytes_share_nothing(server):
    key = Key()
    server.stage(key)
    server.stage(key, "rival")
    server.keys.revoke("rival", key.id)
    assert server.usable(key, prove=True).path.read_bytes() == key.content


def test_a_staged_key_answers_only_to_prove_itself(server):
    key = Key()
    server.stage(key)
    assert server.usable(key, prove=True).key_id == key.id
    with pytest.raises(KeyStagedError, match="not active yet"):
        server.usable(key)
    server.activate(key)
    assert server.usable(key).key_id == key.id


def test_an_incomplete_key_answers_nothing(server):
    key = Key()
    server.begin(key)
    with pytest.raises(KeyNotUploadedError, match="not complete"):
        server.usable(key, prove=True)
    with pytest.raises(KeyStateError, match="cannot become ACTIVE"):
        server.activate(key)


def test_a_key_for_other_parameters_is_refused(server):
    key = Key()
    server.stage(key)
    with pytest.raises(KeyMismatchError):
        server.usable(key, params_id="cd" * 32, prove=True)


def test_activation_swaps_only_what_the_client_expects(server):
    old, new = Key(), Key()
    for key in (old, new):
        server.stage(key)
    server.activate(old)
    with pytest.raises(KeyStateError, match="not the one to replace") as error:
        server.activate(new)
    assert error.value.details["active"] == old.id
    with pytest.raises(KeyStateError):
        server.activate(new, replaces=Key())
    assert (server.state(old), server.state(new)) == ("ACTIVE", "STAGED")
    assert server.activate(new, replaces=old).state == "ACTIVE"
    assert server.activate(new, replaces=old).state == "ACTIVE"  # again: harmless
    assert server.state(old) == "RETIRING"


def test_of_many_activations_at_once_one_wins(home):
    server = Server(home, generations_per_tenant=10)
    keys = [Key() for _ in range(6)]
    for key in keys:
        server.stage(key)
    won = []

    def attempt(key):
        try:
            Server(home).activate(key)
            won.append(key.id)
        except KeyStateError:
            pass

    threads = [threading.Thread(target=attempt, args=(key,)) for key in keys]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    active = [s.key_id for s in server.keys.of_tenant("clinic") if s.state == "ACTIVE"]
    assert len(won) == 1
    assert active == won


def test_keys_of_other_parameters_are_active_side_by_side(server):
    one, other = Key(), Key(params_id="cd" * 32)
    for key in (one, other):
        server.stage(key)
        server.activate(key)
    assert (server.state(one), server.state(other)) == ("ACTIVE", "ACTIVE")


def test_a_replaced_key_answers_for_its_grace_and_not_a_second_longer(server):
    old, new = Key(), Key()
    for key in (old, new):
        server.stage(key)
    server.activate(old)
    server.activate(new, replaces=old)
    server.now += server.limits.retiring_grace - 1
    assert server.usable(old).key_id == old.id
    server.now += 1
    assert server.state(old) == "REVOKED"
    with pytest.raises(KeyRevokedError):
        server.usable(old)


def test_a_revoked_key_is_refused_for_good_and_its_bytes_are_gone(server):
    key = Key()
    server.stage(key)
    server.activate(key)
    path = server.usable(key).path
    assert server.keys.revoke("clinic", key.id).state == "REVOKED"
    assert not path.exists()
    for attempt in (
        lambda: server.usable(key, prove=True),
        lambda: server.begin(key),
    ):
        with pytest.raises(KeyRevokedError):
            attempt()
    with pytest.raises(KeyStateError):
        server.activate(key)
    assert server.keys.revoke("clinic", key.id).state == "REVOKED"


def test_an_upload_that_is_revoked_before_it_is_complete_leaves_nothing(server):
    key = Key()
    server.begin(key)
    assert server.keys.revoke("clinic", key.id).state == "REVOKED"
    assert server.keys.of_tenant("clinic") == []
    assert list(server.files.stored()) == []


def test_the_ids_of_revoked_keys_are_bounded_for_each_tenant(home):
    server = Server(home, refused_keys_per_tenant=2)
    for _ in range(2):
        key = Key()
        server.stage(key)
        server.keys.revoke("clinic", key.id)
    with pytest.raises(LimitError, match="2 keys of this tenant were revoked"):
        server.begin(Key())
    assert server.begin(Key(), "rival").state == "UPLOADING"


# -- cleaning up ---------------------------------------------------------------------------------


def test_collecting_ends_what_is_over_and_leaves_the_rest(server):
    retired, active, uploading, refused = Key(), Key(), Key(), Key()
    for key in (retired, active, refused):
        server.stage(key)
    server.activate(retired)
    server.activate(active, replaces=retired)
    server.keys.revoke("clinic", refused.id)
    server.begin(uploading)
    assert server.collection.collect() == Collected(0, 1, 0, 0, 0)
    server.now += server.limits.upload_expiry
    assert server.collection.collect() == Collected(1, 1, 1, 0, 0)
    assert (server.state(retired), server.state(refused)) == ("DELETED", "DELETED")
    assert server.usable(active).path.read_bytes() == active.content
    with pytest.raises(KeyNotUploadedError):
        server.state(uploading)
    assert [(t, k) for t, k, _ in server.files.stored()] == [("clinic", active.id)]


def test_a_tombstone_is_never_accepted_again(server):
    key = Key()
    server.stage(key)
    server.keys.revoke("clinic", key.id)
    server.collection.collect()
    assert server.state(key) == "DELETED"
    with pytest.raises(KeyRevokedError, match="never accepted again"):
        server.begin(key)
    assert server.keys.revoke("clinic", key.id).state == "DELETED"


def test_an_upload_that_goes_on_does_not_expire(server):
    key = Key()
    server.begin(key)
    server.now += server.limits.upload_expiry - 1
    server.begin(key)
    server.now += 2
    assert server.collection.collect().expired_uploads == 0


def test_files_that_a_crash_left_are_removed(server):
    key = Key()
    server.stage(key)
    server.files.begin("clinic", "cd" * 32)
    server.files.begin("nobody", "ef" * 32)
    assert server.collection.collect().stray_files == 2
    assert server.state(key) == "STAGED"
