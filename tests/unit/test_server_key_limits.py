"""What a tenant may keep, for how long a key lives, and what of it ends by itself."""

from __future__ import annotations

import asyncio
import math
from dataclasses import replace
from itertools import pairwise

import pytest
from fixtures_evaluation_keys import FRAME, SIZE, Key, Server, frame_of

from blindfit.errors import (
    InputError,
    KeyExpiredError,
    KeyNotUploadedError,
    KeyRevokedError,
    LimitError,
    NotFoundError,
    UnavailableError,
)
from blindfit.upload_window import PIECE_BYTES
from server_app.key_collection import keep_collecting
from server_app.key_uploads import KeyUploads
from server_app.open_uploads import OpenUploads
from server_app.quotas import OwnQuota, Quota


def rotate(server, old, new, **options):
    server.stage(new)
    return server.activate(new, replaces=old, **options)


# -- quotas --------------------------------------------------------------------------------------


def test_a_tenants_own_quota_counts_instead_of_the_servers(home):
    server = Server(home, keys_per_tenant=5)
    server.quotas.set("clinic", OwnQuota(keys=1))
    server.begin(Key())
    with pytest.raises(LimitError, match="its quota is 1 keys"):
        server.begin(Key())
    server.begin(Key(), "rival")
    server.begin(Key(), "rival")


def test_bytes_are_reserved_when_an_upload_begins_and_given_back_when_it_is_forgotten(server):
    server.quotas.set("clinic", OwnQuota(key_bytes=2 * SIZE))
    server.begin(Key())
    server.begin(Key())
    assert server.quotas.used("clinic") == (2, 2 * SIZE)
    with pytest.raises(LimitError):
        server.begin(Key())
    server.now += server.limits.upload_expiry
    server.collection.collect()
    assert server.quotas.used("clinic") == (0, 0)
    server.begin(Key())


def test_going_on_with_an_upload_takes_no_second_place(server):
    server.quotas.set("clinic", OwnQuota(keys=1))
    key = Key()
    server.begin(key)
    assert server.begin(key).state == "UPLOADING"
    assert server.stage(key).state == "STAGED"


def test_a_quota_is_changed_by_parts_and_left_to_the_server_again(server):
    limits = server.limits
    server.quotas.set("clinic", OwnQuota(keys=2, generations=3))
    assert server.quotas.of("clinic") == Quota(
        2, limits.key_bytes_per_tenant, 3, limits.key_lifetime
    )
    server.quotas.set("clinic", OwnQuota())
    assert server.quotas.of("clinic").keys == limits.keys_per_tenant


@pytest.mark.parametrize("own", [OwnQuota(keys=0), OwnQuota(key_bytes=0), OwnQuota(generations=1)])
def test_a_quota_that_would_stop_every_rotation_is_refused(server, own):
    with pytest.raises(InputError, match="at least"):
        server.quotas.set("clinic", own)


def test_nobody_has_no_quota(server):
    for ask in (
        lambda: server.quotas.set("nobody", OwnQuota()),
        lambda: server.quotas.of("nobody"),
    ):
        with pytest.raises(NotFoundError):
            ask()


# -- generations ---------------------------------------------------------------------------------


def test_a_further_generation_takes_the_place_of_the_oldest_retiring_one(home):
    server = Server(home, generations_per_tenant=3)
    keys = [Key() for _ in range(5)]
    server.stage(keys[0])
    server.activate(keys[0])
    for old, new in pairwise(keys):
        server.now += 1
        rotate(server, old, new)
    states = [server.state(key) for key in keys]
    assert states == ["REVOKED", "REVOKED", "RETIRING", "RETIRING", "ACTIVE"]
    with pytest.raises(KeyRevokedError):
        server.usable(keys[1])
    assert server.usable(keys[2]).path.read_bytes() == keys[2].content


def test_unfinished_generations_are_bounded_for_the_same_parameters_alone(home):
    server = Server(home, generations_per_tenant=2)
    server.stage(Key())
    server.begin(Key())
    with pytest.raises(LimitError, match="2 keys with these parameters"):
        server.begin(Key())
    assert server.begin(Key(params_id="cd" * 32)).state == "UPLOADING"


# -- graces --------------------------------------------------------------------------------------


def test_a_client_shortens_the_grace_of_the_key_that_it_replaces(server):
    old, new = Key(), Key()
    server.stage(old)
    server.activate(old)
    rotate(server, old, new, grace=10.0)
    server.now += 9
    assert server.usable(old).key_id == old.id
    server.now += 1
    with pytest.raises(KeyRevokedError):
        server.usable(old)


def test_no_client_stretches_a_grace_beyond_the_servers(server):
    old, new = Key(), Key()
    server.stage(old)
    server.activate(old)
    rotate(server, old, new, grace=1e12)
    server.now += server.limits.retiring_grace
    assert server.state(old) == "REVOKED"


@pytest.mark.parametrize("grace", [-1.0, math.nan, math.inf])
def test_a_grace_that_is_no_duration_is_refused_and_nothing_is_activated(server, grace):
    key = Key()
    server.stage(key)
    with pytest.raises(InputError, match="a grace is"):
        server.activate(key, grace=grace)
    assert server.state(key) == "STAGED"


# -- lifetimes -----------------------------------------------------------------------------------


def test_an_active_key_that_is_too_old_says_rotate_and_is_revoked_by_its_successor(server):
    old, new = Key(), Key()
    server.stage(old)
    server.activate(old)
    server.now += server.limits.key_lifetime - 1
    assert server.usable(old).key_id == old.id
    server.now += 1
    with pytest.raises(KeyExpiredError) as error:
        server.usable(old)
    assert error.value.action == "rotate"
    assert rotate(server, old, new).state == "ACTIVE"
    assert server.state(old) == "REVOKED"


def test_a_staged_key_that_nobody_activates_is_forgotten_and_may_come_again(server):
    key, active = Key(), Key()
    server.stage(active)
    server.activate(active)
    server.stage(key)
    server.now += server.limits.staged_expiry - 1
    assert server.collection.collect().expired_staged == 0
    server.now += 1
    assert server.collection.collect().expired_staged == 1
    with pytest.raises(KeyNotUploadedError):
        server.state(key)
    assert [k for _, k, _ in server.files.stored()] == [active.id]
    assert server.state(active) == "ACTIVE"
    assert server.stage(key).state == "STAGED"


def test_a_key_that_is_gone_meanwhile_does_not_end_a_collection(server, monkeypatch):
    first, second = Key(), Key()
    for key in (first, second):
        server.begin(key)
    server.now += server.limits.upload_expiry
    forget = KeyUploads.forget

    def gone_first(uploads, tenant, key_id, state="UPLOADING"):
        if key_id == first.id:
            raise KeyNotUploadedError("gone")
        forget(uploads, tenant, key_id, state)

    monkeypatch.setattr(KeyUploads, "forget", gone_first)
    assert server.collection.collect().expired_uploads == 1


def test_a_stream_of_an_upload_that_was_begun_anew_writes_nothing(server):
    key = Key()
    server.begin(key)
    stale = replace(server.uploads.resume("clinic", key.id), size=2 * SIZE)
    with pytest.raises(KeyNotUploadedError, match="is over"):
        server.uploads.write(stale, 0, key.content)
    assert server.begin(key).received == 0


def test_a_tenant_may_have_keys_of_a_shorter_life_than_others(server):
    mine, rivals = Key(), Key()
    for key, tenant in ((mine, "clinic"), (rivals, "rival")):
        server.stage(key, tenant)
        server.activate(key, tenant=tenant)
    server.quotas.set("clinic", OwnQuota(lifetime=60.0))
    server.now += 61
    with pytest.raises(KeyExpiredError):
        server.usable(mine)
    assert server.usable(rivals, "rival").key_id == rivals.id
    server.quotas.set("clinic", OwnQuota())
    assert server.usable(mine).key_id == mine.id


def test_a_piece_larger_than_clients_send_is_refused(server):
    key = Key()
    server.begin(key)
    with pytest.raises(InputError, match="a piece of a key has at most"):
        server.write(key, 0, bytes(PIECE_BYTES + 1))


def test_a_commit_with_the_frame_of_other_parameters_leaves_the_upload_as_it_is(server):
    key = Key()
    server.begin(key)
    server.write(key, 0, key.content)
    with pytest.raises(InputError, match="have 4104 bytes by now"):
        server.uploads.commit("clinic", key.id, lambda params_id: frame_of(SIZE + 8))
    assert server.begin(key).received == SIZE


def test_a_tenant_has_few_uploads_open_and_others_do_not_notice():
    uploads = OpenUploads(2)
    with uploads.one_more("clinic"), uploads.one_more("rival"):
        with uploads.one_more("clinic"):
            with pytest.raises(UnavailableError, match="2 uploads"), uploads.one_more("clinic"):
                pass
            with uploads.one_more("rival"):
                pass
        with uploads.one_more("clinic"):
            pass


def test_a_key_that_was_begun_anew_while_it_was_checked_is_not_staged(server):
    key = Key()
    server.begin(key)
    server.write(key, 0, key.content)

    def frame_of(params_id):
        server.keys.revoke("clinic", key.id)
        other = replace(key.announced, params_id="b" * 64)
        server.uploads.begin("clinic", other, FRAME)
        server.write(key, 0, key.content)
        return FRAME

    with pytest.raises(InputError, match="begun again"):
        server.uploads.commit("clinic", key.id, frame_of)
    assert server.state(key) == "UPLOADING"


def test_collecting_goes_on_after_it_has_failed(server, caplog):
    calls = []

    class Failing:
        def collect(self):
            calls.append(len(calls))
            if len(calls) == 1:
                raise OSError("no space left on device")
            return server.collection.collect()

    key = Key()
    server.begin(key)
    server.now += server.limits.upload_expiry + 1

    async def until_collected():
        collecting = asyncio.create_task(keep_collecting(Failing(), 0.001))
        while len(calls) < 3:
            assert not collecting.done()
            await asyncio.sleep(0.001)
        collecting.cancel()

    asyncio.run(until_collected())
    assert "it is tried again" in caplog.text
    with pytest.raises(KeyNotUploadedError):
        server.state(key)
