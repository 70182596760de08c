"""A server's home, its authority and the certificates it gives."""

from __future__ import annotations

import datetime
import os
import stat

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from fixtures_server import request_for

from blindfit.errors import InputError
from server_app.authority import load_publisher_key, load_publisher_public, sign_request
from server_app.config import load_config
from server_app.home import create_home
from server_app.layout import Layout


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    folder = tmp_path_factory.mktemp("server") / "home"
    create_home(folder, ["fhe.example.org", "10.0.0.7"])
    return folder


def certificate(path):
    return x509.load_pem_x509_certificate(path.read_bytes())


def usages(cert):
    return list(cert.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value)


def test_secrets_are_readable_by_their_owner_only(home):
    for path in home.rglob("*"):
        mode = stat.S_IMODE(path.stat().st_mode)
        public = path.suffix in (".pem", ".pub")
        assert mode == (0o700 if path.is_dir() else 0o644 if public else 0o600), path


def test_init_never_overwrites(home):
    before = (home / "ca" / "ca.key").read_bytes()
    with pytest.raises(InputError, match="not empty"):
        create_home(home, [])
    assert (home / "ca" / "ca.key").read_bytes() == before


def test_the_authority_can_sign_end_entities_only(home):
    ca = certificate(Layout(home).ca_certificate)
    constraints = ca.extensions.get_extension_for_class(x509.BasicConstraints)
    assert constraints.critical
    assert constraints.value == x509.BasicConstraints(ca=True, path_length=0)
    assert ca.extensions.get_extension_for_class(x509.KeyUsage).value.key_cert_sign


def test_the_server_certificate_names_all_hosts_and_loopback(home):
    cert = certificate(Layout(home).certificate)
    cert.verify_directly_issued_by(certificate(Layout(home).ca_certificate))
    names = cert.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["fhe.example.org", "localhost"]
    addresses = [str(address) for address in names.get_values_for_type(x509.IPAddress)]
    assert addresses == ["10.0.0.7", "127.0.0.1"]
    assert usages(cert) == [ExtendedKeyUsageOID.SERVER_AUTH]


def test_a_public_host_opens_the_ports_and_stands_in_invitations(home):
    config = load_config(home)
    assert (config.host, config.listen) == ("fhe.example.org", "0.0.0.0:7443")
    assert config.federation_listen == "127.0.0.1:8443"


def test_a_host_that_no_certificate_can_name_is_refused_before_anything_is_made(tmp_path):
    with pytest.raises(InputError, match="not a host name"):
        create_home(tmp_path / "home", ["bad host/"])
    assert not (tmp_path / "home" / "ca").exists()


def test_the_publisher_key_is_the_one_that_clients_pin(home):
    public = load_publisher_key(home).public_key().public_bytes_raw().hex()
    assert load_publisher_public(home) == public


def test_a_client_certificate_takes_nothing_but_the_key_from_the_request(home):
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "somebody-else")])
    request = (
        x509.CertificateSigningRequestBuilder()
        .subject_name(subject)
        .add_extension(x509.BasicConstraints(ca=True, path_length=3), critical=True)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = request.public_bytes(serialization.Encoding.PEM)
    cert = sign_request(home, pem, "clinic", 3600.0)
    cert.verify_directly_issued_by(certificate(Layout(home).ca_certificate))
    assert cert.public_key() == key.public_key()
    assert [a.value for a in cert.subject] == ["clinic"]
    assert usages(cert) == [ExtendedKeyUsageOID.CLIENT_AUTH]
    assert not cert.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    with pytest.raises(x509.ExtensionNotFound):
        cert.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    left = cert.not_valid_after_utc - datetime.datetime.now(datetime.UTC)
    assert datetime.timedelta(minutes=59) < left <= datetime.timedelta(minutes=60)


def test_a_request_with_a_weak_key_is_refused(home):
    for key in (
        rsa.generate_private_key(65537, 1024),
        ec.generate_private_key(ec.SECP192R1()),
    ):
        builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([]))
        pem = builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
        with pytest.raises(InputError, match="weak"):
            sign_request(home, pem, "clinic", 3600.0)


def test_a_request_that_its_own_key_did_not_sign_is_refused(home):
    der = bytearray(x509.load_pem_x509_csr(request_for()).public_bytes(serialization.Encoding.DER))
    der[-1] ^= 1
    pem = x509.load_der_x509_csr(bytes(der)).public_bytes(serialization.Encoding.PEM)
    with pytest.raises(InputError, match="not signed by its own key"):
        sign_request(home, pem, "clinic", 3600.0)


def test_what_is_no_request_is_refused(home):
    for junk in (b"", b"-----BEGIN CERTIFICATE REQUEST-----", os.urandom(200)):
        with pytest.raises(InputError, match="cannot be read"):
            sign_request(home, junk, "clinic", 3600.0)
