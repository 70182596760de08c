"""Uploads over real TLS: dropped connections, a restarted server, its memory, wrong bytes."""

from __future__ import annotations

import os

import pytest

from bench import key_server
from bench.hand_made import PARAMS, honest, publish
from bench.keys_upload import measure_interruptions, measure_memory
from blindfit.errors import InputError, KeyRevokedError, LimitError, UnavailableError
from blindfit.key_id import compute_key_id
from blindfit.upload_window import PIECE_BYTES

pytestmark = pytest.mark.slow

SIZE = 4 * PIECE_BYTES + 1000


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    home = key_server.new_home(tmp_path_factory.mktemp("upload") / "home")
    publish(home, key_bytes=SIZE)
    with (home / "config.toml").open("a") as file:
        file.write("generations_per_tenant = 20\n")
    return home


@pytest.fixture(scope="module")
def person(home):
    return key_server.enroll(home, "clinic")


def make_key():
    content, salt = honest(SIZE), os.urandom(16)
    return compute_key_id(salt, content), salt, content


def test_an_upload_that_is_cut_at_any_point_sends_less_than_2_mb_again(tmp_path):
    again = measure_interruptions(tmp_path, points=4, size=12 << 20)
    assert len(again) == 4
    assert all(0 <= count < 2_000_000 for count in again), again


def test_the_server_holds_only_pieces_of_a_key_in_memory(tmp_path):
    memory = measure_memory(tmp_path, size=48 << 20)
    assert memory.growth < memory.key / 2


def test_progress_is_told_and_the_key_is_staged(home, person):
    key_id, salt, content = make_key()
    told = []
    with key_server.serving(home) as server, person.connect(server.address) as channel:
        status = channel.upload_key(key_id, PARAMS, salt, content, told.append)
        assert (status.state, status.received) == ("STAGED", SIZE)
        assert told[0] == 0
        assert told == sorted(told)
        assert told[-1] == SIZE
        assert channel.upload_key(key_id, PARAMS, salt, content).state == "STAGED"


def test_an_upload_goes_on_after_the_server_was_killed_and_started_again(home, person):
    key_id, salt, content = make_key()
    servers = [key_server.start(home)]
    told = []

    def kill_once(received):
        told.append(received)
        if received >= 2 * PIECE_BYTES and len(servers) == 1:
            servers[0].kill()
            servers.append(key_server.start(home, servers[0].address))

    with person.connect(servers[0].address) as channel:
        status = channel.upload_key(key_id, PARAMS, salt, content, kill_once)
        assert status.state == "STAGED"
    servers[-1].kill()
    assert len(servers) == 2
    assert told.count(0) == 1  # it did not begin anew
    stored = home / "evaluation_keys" / "clinic" / f"{key_id}.keys"
    assert stored.read_bytes() == content


def test_without_a_server_an_upload_ends_with_an_error(home, person, monkeypatch):
    monkeypatch.setattr("blindfit.channel._UPLOAD_PAUSE", 0.01)
    server = key_server.start(home)
    server.kill()
    key_id, salt, content = make_key()
    with person.connect(server.address) as channel, pytest.raises(UnavailableError):
        channel.upload_key(key_id, PARAMS, salt, content)


def test_bytes_of_another_key_id_are_not_even_sent(home, person):
    key_id, salt, content = make_key()
    with person.connect("127.0.0.1:1") as channel, pytest.raises(ValueError, match="key_id"):
        channel.upload_key(key_id, PARAMS, salt, content[:-1] + b"x")


def test_refusals_arrive_as_what_they_are(home, person):
    key_id, salt, content = make_key()
    with key_server.serving(home) as server, person.connect(server.address) as channel:
        with pytest.raises(InputError, match="no model has these crypto parameters"):
            channel.upload_key(key_id, "cd" * 32, salt, content)
        short = content[:-8]
        with pytest.raises(InputError, match=r"have \d+ bytes"):
            channel.upload_key(compute_key_id(salt, short), PARAMS, salt, short)
        channel.upload_key(key_id, PARAMS, salt, content)
        channel.revoke_key(key_id)
        with pytest.raises(KeyRevokedError):
            channel.upload_key(key_id, PARAMS, salt, content)


def test_the_quota_is_refused_before_a_byte_is_sent(home):
    from server_app.config import load_config
    from server_app.database import Database
    from server_app.layout import Layout
    from server_app.quotas import OwnQuota, Quotas

    small = key_server.enroll(home, "small")
    database = Database.open(Layout(home).database)
    Quotas(database, load_config(home).limits).set("small", OwnQuota(key_bytes=SIZE - 1))
    database.close()
    key_id, salt, content = make_key()
    told = []
    with (
        key_server.serving(home) as server,
        small.connect(server.address) as channel,
        pytest.raises(LimitError),
    ):
        channel.upload_key(key_id, PARAMS, salt, content, told.append)
    assert told == []


def test_certificates_are_renewed_and_revoked_over_the_wire(home):
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes

    from blindfit.errors import AccessError, NotFoundError

    person = key_server.enroll(home, "renewer")
    key, request = key_server.request_certificate("renewer")
    old = x509.load_pem_x509_certificate(person.certificate).fingerprint(hashes.SHA256()).hex()
    with key_server.serving(home) as server:
        with person.connect(server.address) as channel:
            fresh = channel.renew_certificate(request)
            with pytest.raises(InputError, match="cannot revoke itself"):
                channel.revoke_certificate(old)
        renewed = key_server.Person("renewer", fresh, key, person.ca)
        with renewed.connect(server.address) as channel:
            channel.revoke_certificate(old)
            channel.revoke_certificate(old)
            with pytest.raises(NotFoundError):
                channel.revoke_certificate("00" * 32)
            assert channel.list_keys() == []
        with person.connect(server.address) as channel, pytest.raises(AccessError) as error:
            channel.list_keys()
        assert error.value.action == "enroll"
