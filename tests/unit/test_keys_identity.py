from __future__ import annotations

import datetime
import stat

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from blindfit.errors import AccessError, InputError, NotEnrolledError
from keys.identity import ServerEntry, load_identity, new_identity_request, save_identity
from keys.participant import ensure_participant_key, participant_key_path

SERVER = ServerEntry("host:7000", "acme", "0f" * 32, "host:8000")


def issue(csr_pem: bytes) -> bytes:
    csr = x509.load_pem_x509_csr(csr_pem)
    assert csr.is_signature_valid
    now = datetime.datetime.now(datetime.UTC)
    builder = x509.CertificateBuilder(
        issuer_name=csr.subject,
        subject_name=csr.subject,
        public_key=csr.public_key(),
        serial_number=1,
        not_valid_before=now,
        not_valid_after=now + datetime.timedelta(days=1),
    )
    certificate = builder.sign(ec.generate_private_key(ec.SECP256R1()), hashes.SHA256())
    return certificate.public_bytes(serialization.Encoding.PEM)


def enroll(home, name="acme"):
    key, csr = new_identity_request(name)
    return save_identity(home, key, certificate_pem=issue(csr), ca_pem=b"CA", server=SERVER)


def test_the_request_carries_the_name_and_a_p256_key_but_not_the_private_one():
    key, csr = new_identity_request("acme")
    request = x509.load_pem_x509_csr(csr)
    assert request.subject.rfc4514_string() == "CN=acme"
    assert request.public_key() == key.public_key()
    assert isinstance(key.curve, ec.SECP256R1)
    assert b"PRIVATE" not in csr


def test_a_name_that_no_certificate_can_carry_is_refused():
    with pytest.raises(InputError, match="name"):
        new_identity_request("")


def test_a_saved_identity_is_loaded_again(tmp_path):
    saved = enroll(tmp_path)
    loaded = load_identity(tmp_path)
    assert loaded == saved
    assert (loaded.address, loaded.tenant) == ("host:7000", "acme")
    assert (loaded.publisher_key, loaded.federation) == ("0f" * 32, "host:8000")
    assert loaded.ca_pem == b"CA"


def test_the_private_key_is_private_and_not_printed(tmp_path):
    identity = enroll(tmp_path)
    assert stat.S_IMODE((identity.folder / "credentials.pem").stat().st_mode) == 0o600
    assert stat.S_IMODE(identity.folder.stat().st_mode) == 0o700
    assert "PRIVATE" not in repr(identity)


def test_a_private_key_that_others_may_read_is_refused(tmp_path):
    identity = enroll(tmp_path)
    (identity.folder / "credentials.pem").chmod(0o644)
    with pytest.raises(AccessError, match="others"):
        load_identity(tmp_path)


def test_without_enrolment_the_error_says_what_to_do(tmp_path):
    with pytest.raises(NotEnrolledError) as caught:
        load_identity(tmp_path)
    assert "blindfit-client enroll" in caught.value.hint


@pytest.mark.parametrize("name", ["credentials.pem", "ca.pem", "server.json"])
def test_an_incomplete_identity_is_none(tmp_path, name):
    identity = enroll(tmp_path)
    (identity.folder / name).unlink()
    with pytest.raises(NotEnrolledError):
        load_identity(tmp_path)


@pytest.mark.parametrize("name", ["credentials.pem", "server.json"])
def test_a_damaged_identity_is_none(tmp_path, name):
    identity = enroll(tmp_path)
    (identity.folder / name).write_bytes(b"{}")
    with pytest.raises(NotEnrolledError, match="damaged"):
        load_identity(tmp_path)


def test_a_certificate_for_another_key_is_refused(tmp_path):
    key, _ = new_identity_request("acme")
    _, other = new_identity_request("acme")
    with pytest.raises(InputError, match="another key"):
        save_identity(tmp_path, key, certificate_pem=issue(other), ca_pem=b"CA", server=SERVER)
    with pytest.raises(NotEnrolledError):
        load_identity(tmp_path)


def test_enrolling_again_replaces_the_certificate_and_keeps_the_participant(tmp_path):
    first, participant = enroll(tmp_path), ensure_participant_key(tmp_path)
    second = enroll(tmp_path)
    assert second.certificate_pem != first.certificate_pem
    assert ensure_participant_key(tmp_path) == participant


def test_a_key_and_certificate_that_are_no_pair_are_found(tmp_path):
    first, second = enroll(tmp_path), enroll(tmp_path)
    path = second.folder / "credentials.pem"
    path.write_bytes(second.key_pem + first.certificate_pem)
    with pytest.raises(NotEnrolledError, match="no pair"):
        load_identity(tmp_path)


def test_what_a_server_wrote_around_its_certificate_is_not_kept(tmp_path):
    key, csr = new_identity_request("acme")
    around = b"# some text\n" + issue(csr) + b"-----BEGIN EC PRIVATE KEY-----\n"
    saved = save_identity(tmp_path, key, certificate_pem=around, ca_pem=b"CA", server=SERVER)
    assert (saved.folder / "credentials.pem").read_bytes().count(b"-----BEGIN") == 2


def test_the_participant_key_is_what_flower_reads(tmp_path):
    public = ensure_participant_key(tmp_path)
    path = participant_key_path(tmp_path)
    private = serialization.load_ssh_private_key(path.read_bytes(), None)
    assert isinstance(private, ec.EllipticCurvePrivateKey)
    assert isinstance(private.curve, ec.SECP384R1)
    assert public.startswith("ecdsa-sha2-nistp384 ")
    loaded = serialization.load_ssh_public_key(public.encode())
    assert loaded == private.public_key()
    assert path.with_suffix(".pub").read_text().strip() == public
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_there_is_no_participant_key_before_it_is_made(tmp_path):
    with pytest.raises(NotEnrolledError):
        participant_key_path(tmp_path)


@pytest.mark.parametrize("name", ["credentials.pem", "ca.pem", "server.json"])
def test_a_file_that_is_a_symbolic_link_is_refused(tmp_path, name):
    path = enroll(tmp_path).folder / name
    path.rename(tmp_path / name)
    path.symlink_to(tmp_path / name)
    with pytest.raises(AccessError, match="symbolic link"):
        load_identity(tmp_path)


def test_a_folder_that_others_may_write_is_refused(tmp_path):
    enroll(tmp_path).folder.chmod(0o770)
    with pytest.raises(AccessError, match="others"):
        load_identity(tmp_path)


def test_a_folder_that_is_a_symbolic_link_is_refused(tmp_path):
    folder = enroll(tmp_path).folder
    folder.rename(tmp_path / "elsewhere")
    folder.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(AccessError, match="symbolic link"):
        load_identity(tmp_path)


def test_looking_for_an_identity_makes_no_folder(tmp_path):
    with pytest.raises(NotEnrolledError):
        load_identity(tmp_path)
    assert list(tmp_path.iterdir()) == []
