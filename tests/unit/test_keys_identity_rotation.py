from __future__ import annotations

import stat
from contextlib import contextmanager, suppress
from datetime import timedelta

import pytest
from cryptography import x509
from test_keys_identity import enroll, issue

from blindfit.errors import AccessError, InputError, IntegrityError, KeyStateError, NotEnrolledError
from keys.identity import load_identity
from keys.identity_rotation import abort_renewal, is_identity_due, rotate_identity
from keys.renewal import pending_renewal


class StoppedError(Exception):
    pass


class Authority:
    """A server that knows certificates by their fingerprints; ``stop_at`` loses an answer.

    As with gRPC, connecting sends nothing: it is the calls that a certificate is refused at.
    """

    def __init__(self, *fingerprints):
        self.active = set(fingerprints)
        self.calls = []
        self.stop_at = ""
        self._caller = ""

    @contextmanager
    def connect(self, identity):
        self._caller = identity.credentials.fingerprint
        yield self

    def _require_caller(self):
        if self._caller not in self.active:
            raise AccessError("this certificate is not, or no longer, a tenant's")

    def _called(self, name):
        self.calls.append(name)
        if self.stop_at == name:
            raise StoppedError

    def renew_certificate(self, csr_pem):
        self._require_caller()
        assert x509.load_pem_x509_csr(csr_pem).subject.rfc4514_string() == "CN=acme"
        certificate = issue(csr_pem)
        self.active.add(_fingerprint(certificate))
        self._called("renew")
        return certificate

    def list_keys(self):
        self._require_caller()
        self._called("list")
        return []

    def revoke_certificate(self, fingerprint):
        self._require_caller()
        self.active.discard(fingerprint)
        self._called("revoke")


def _fingerprint(pem):
    from cryptography.hazmat.primitives import hashes

    return x509.load_pem_x509_certificate(pem).fingerprint(hashes.SHA256()).hex()


@pytest.fixture
def server(tmp_path):
    return Authority(enroll(tmp_path).credentials.fingerprint)


def test_key_and_certificate_are_exchanged_and_the_old_one_is_revoked(tmp_path, server):
    old = load_identity(tmp_path)
    rotated = rotate_identity(tmp_path, server.connect)
    new = load_identity(tmp_path)
    assert new.key_pem != old.key_pem and new.certificate_pem != old.certificate_pem
    assert (rotated.old, rotated.new) == (old.credentials.fingerprint, new.credentials.fingerprint)
    assert server.calls == ["renew", "list", "revoke"]
    assert server.active == {new.credentials.fingerprint}
    assert (new.server, new.ca_pem) == (old.server, old.ca_pem)
    assert pending_renewal(tmp_path) is None


@pytest.mark.parametrize("call", ["renew", "list", "revoke"])
def test_it_goes_on_when_the_answer_was_lost_to(tmp_path, server, call):
    server.stop_at = call
    with pytest.raises(StoppedError):
        rotate_identity(tmp_path, server.connect)
    assert load_identity(tmp_path).credentials.fingerprint in server.active
    kept = pending_renewal(tmp_path)
    server.stop_at = ""
    rotated = rotate_identity(tmp_path, server.connect)
    assert rotated.old == kept.old_fingerprint
    assert load_identity(tmp_path).key_pem.decode() == kept.key_pem
    assert rotated.old not in server.active and rotated.new in server.active


def test_the_new_key_is_kept_private_before_the_request(tmp_path, server):
    server.stop_at = "renew"
    with suppress(StoppedError):
        rotate_identity(tmp_path, server.connect)
    path = tmp_path / "identity" / "renewal.json"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert "PRIVATE" not in repr(pending_renewal(tmp_path))
    path.chmod(0o644)
    with pytest.raises(AccessError):
        rotate_identity(tmp_path, server.connect)


def test_a_certificate_for_another_key_is_not_taken(tmp_path, server, monkeypatch):
    from keys.identity import new_identity_request

    before = load_identity(tmp_path)
    other = issue(new_identity_request("acme")[1])
    monkeypatch.setattr(server, "renew_certificate", lambda csr: other)
    with pytest.raises(InputError, match="another key"):
        rotate_identity(tmp_path, server.connect)
    assert load_identity(tmp_path) == before


def test_a_certificate_that_does_not_work_is_not_taken(tmp_path, server, monkeypatch):
    before = load_identity(tmp_path)
    monkeypatch.setattr(server, "renew_certificate", issue)  # not among the active ones
    with pytest.raises(AccessError):
        rotate_identity(tmp_path, server.connect)
    assert load_identity(tmp_path) == before
    assert before.credentials.fingerprint in server.active


def test_whoever_enrolled_meanwhile_keeps_the_newer_identity(tmp_path, server):
    server.stop_at = "list"
    with suppress(StoppedError):
        rotate_identity(tmp_path, server.connect)
    newer = enroll(tmp_path).credentials.fingerprint
    server.active, server.stop_at = {newer}, ""
    assert rotate_identity(tmp_path, server.connect).old == newer


def test_before_the_certificate_it_can_be_given_up(tmp_path, server, monkeypatch):
    def unreachable(csr):
        raise StoppedError

    monkeypatch.setattr(server, "renew_certificate", unreachable)
    with suppress(StoppedError):
        rotate_identity(tmp_path, server.connect)
    assert abort_renewal(tmp_path)
    assert pending_renewal(tmp_path) is None
    assert not abort_renewal(tmp_path)


def test_after_the_certificate_it_can_only_go_on(tmp_path, server):
    server.stop_at = "list"
    with suppress(StoppedError):
        rotate_identity(tmp_path, server.connect)
    with pytest.raises(KeyStateError) as caught:
        abort_renewal(tmp_path)
    assert "rotate --identity" in caught.value.hint


def test_a_second_process_is_refused(tmp_path, server):
    def meanwhile(step):
        with pytest.raises(KeyStateError, match="another process"):
            rotate_identity(tmp_path, server.connect)

    rotate_identity(tmp_path, server.connect, meanwhile)


def test_private_keys_that_a_dead_process_left_half_written_are_swept(tmp_path, server):
    leftovers = [
        tmp_path / "identity" / f".{name}.{'0' * 16}.tmp"
        for name in ("credentials.pem", "renewal.json")
    ]
    for path in leftovers:
        path.write_bytes(b"-----BEGIN PRIVATE KEY-----")
    rotate_identity(tmp_path, server.connect)
    assert not any(path.exists() for path in leftovers)


def test_a_damaged_journal_says_what_to_do(tmp_path, server):
    path = tmp_path / "identity" / "renewal.json"
    path.write_text("{}")
    path.chmod(0o600)
    with pytest.raises(IntegrityError) as caught:
        rotate_identity(tmp_path, server.connect)
    assert "remove it" in caught.value.hint


def test_there_is_nothing_to_rotate_before_enrolment(tmp_path):
    with pytest.raises(NotEnrolledError):
        rotate_identity(tmp_path, Authority().connect)


def test_an_identity_is_due_when_its_certificate_is_older(tmp_path, server):
    identity = load_identity(tmp_path)
    assert not is_identity_due(identity, timedelta(days=90))
    assert is_identity_due(identity, timedelta(seconds=-5))
