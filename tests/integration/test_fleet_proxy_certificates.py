"""Whom the shipped nginx configuration lets in: the real nginx, with a server that takes all calls.

nginx ends the handshake with anybody, and refuses the connection's requests before it looks at what
they are for: that is how it checks certificates, whatever the configuration.
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from fixtures_proxy import Nginx, post, read_answer, statuses
from fixtures_tls import enrolled
from fixtures_tricks import CALL, CONTROL
from fixtures_upstream import Place

from blindfit.errors import AccessError
from client_app.fleet_probe import takes_calls
from client_app.tls_forwarder import TlsForwarder
from server_app.authority import sign_request
from server_app.home import create_home
from server_app.revocation_list import revocation_list

pytestmark = [pytest.mark.slow, pytest.mark.timeout(60)]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    with ExitStack() as stack:
        yield Place(tmp_path_factory.mktemp("certificates"), stack)


def refusal(place: Place, credentials: Path | None) -> str:
    """Why ``credentials`` are refused: whatever is called, and nothing is handed on."""
    before = list(place.upstream.requests)
    answers = {place.caller(credentials).call(path) for path in (CALL, CONTROL, "/")}
    assert place.upstream.requests == before
    ((status, text),) = answers
    assert status == 400
    return text


def test_an_enrolled_certificate_is_let_in(place: Place) -> None:
    before = len(place.upstream.requests)
    assert place.caller(place.enroll("anna")).call(CALL) == (200, "fine")
    assert len(place.upstream.requests) == before + 1


def test_without_a_certificate_nothing_passes(place: Place) -> None:
    assert "an enrolled participant is needed (NONE)" in refusal(place, None)


def test_a_certificate_of_another_authority_is_refused(place: Place, tmp_path: Path) -> None:
    """Another Blindfit's authority, which has the same name."""
    other = create_home(tmp_path / "other", [])
    assert "(FAILED:unable to verify the first certificate)" in refusal(
        place, enrolled(other, "anna", tmp_path)
    )


def test_a_certificate_that_signs_itself_is_refused(place: Place, tmp_path: Path) -> None:
    assert "(FAILED:" in refusal(place, self_signed(tmp_path / "own.pem"))


def test_the_servers_own_certificate_opens_nothing(place: Place, tmp_path: Path) -> None:
    both = tmp_path / "server.pem"
    both.write_bytes(place.layout.key.read_bytes() + place.layout.certificate.read_bytes())
    assert "purpose" in refusal(place, both)


def test_a_tenants_certificate_signs_no_others(place: Place, tmp_path: Path) -> None:
    tenant = place.enroll("berta").read_bytes()
    key = serialization.load_pem_private_key(tenant, None)
    issuer = x509.load_pem_x509_certificate(tenant)
    path = self_signed(tmp_path / "chain.pem", issuer=issuer.subject, key=key)
    path.write_bytes(path.read_bytes() + issuer.public_bytes(serialization.Encoding.PEM))
    assert "(FAILED:" in refusal(place, path)


def test_an_expired_certificate_is_refused(place: Place, tmp_path: Path) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "late")])
    request = x509.CertificateSigningRequestBuilder().subject_name(name).sign(key, hashes.SHA256())
    pem = request.public_bytes(serialization.Encoding.PEM)
    path = write_pair(tmp_path / "late.pem", key, sign_request(place.layout.home, pem, "late", -60))
    assert "(FAILED:certificate has expired)" in refusal(place, path)


def test_older_tls_is_refused_in_the_handshake(place: Place) -> None:
    with pytest.raises(ssl.SSLError, match="PROTOCOL_VERSION"):
        place.caller(place.enroll("old")).connect(ssl.TLSVersion.TLSv1_2)


def test_plain_http_is_refused(place: Place) -> None:
    with socket.create_connection(("127.0.0.1", place.nginx.port), timeout=10) as plain:
        plain.sendall(post(CALL))
        assert plain.recv(1000).startswith(b"HTTP/1.1 400")


def test_a_session_is_not_resumed(place: Place) -> None:
    """It would go on with a certificate that was revoked meanwhile."""
    context = ssl.create_default_context(cafile=str(place.layout.ca_certificate))
    context.load_cert_chain(place.enroll("frida"))
    session = None
    for _ in range(2):
        with (
            socket.create_connection(("127.0.0.1", place.nginx.port), timeout=10) as plain,
            context.wrap_socket(plain, server_hostname="localhost", session=session) as connection,
        ):
            connection.sendall(post(CALL))
            assert statuses(read_answer(connection)) == [200]
            assert not connection.session_reused
            session = connection.session


# -- revocation ----------------------------------------------------------------------------------


def test_a_revoked_certificate_is_refused_after_a_reload(place: Place) -> None:
    old, new = place.enroll("carla"), place.enroll("carla-new")
    before = place.caller(old).connect()
    before.sendall(post(CALL))
    assert statuses(read_answer(before)) == [200]

    place.revoke(serial_of(old))
    assert place.caller(old).call(CALL)[0] == 200, "nginx reads the list when it is told to"
    place.nginx.reload()

    assert "(FAILED:certificate revoked)" in refusal(place, old)
    assert place.caller(new).call(CALL) == (200, "fine"), "the others go on"
    before.settimeout(5)
    assert before.recv(1) == b"", "the connection from before the revocation is still open"
    before.close()

    place.revoke()
    place.nginx.reload()
    assert place.caller(old).call(CALL) == (200, "fine")


def test_a_revoked_participant_is_told_through_forwarder_and_probe(place: Place) -> None:
    credentials = place.enroll("dora")
    place.revoke(serial_of(credentials))
    place.nginx.reload()
    server = (place.nginx.address, place.layout.ca_certificate, credentials)
    with pytest.raises(AccessError, match=r"needed \(FAILED:certificate revoked\)"):
        takes_calls(*server)
    with TlsForwarder(*server) as local:
        context = ssl.create_default_context(cafile=str(local.ca))
        port = int(local.address.rpartition(":")[2])
        with (
            socket.create_connection(("127.0.0.1", port), timeout=10) as plain,
            context.wrap_socket(plain, server_hostname="127.0.0.1") as connection,
        ):
            connection.sendall(post(CALL))
            assert statuses(read_answer(connection)) == [400]
    place.revoke()
    place.nginx.reload()


@pytest.mark.parametrize("content", [None, b"", b"no list"], ids=["none", "empty", "damaged"])
def test_without_a_list_nginx_does_not_start(
    place: Place, tmp_path: Path, content: bytes | None
) -> None:
    layout = create_home(tmp_path / "home", [])
    if content is not None:
        layout.ca_certificate.with_name("crl.pem").write_bytes(content)
    with (
        pytest.raises(AssertionError, match=r"crl\.pem"),
        Nginx(layout, tmp_path / "nginx", place.upstream.port),
    ):
        pass


def test_a_list_of_another_authority_lets_nobody_in(place: Place, tmp_path: Path) -> None:
    other = create_home(tmp_path / "other", [])
    path = place.layout.ca_certificate.with_name("crl.pem")
    path.write_bytes(revocation_list(other.home, []))
    place.nginx.reload()
    try:
        assert "(FAILED:" in refusal(place, place.enroll("emma"))
    finally:
        place.revoke()
        place.nginx.reload()


def serial_of(credentials: Path) -> int:
    return x509.load_pem_x509_certificate(credentials.read_bytes()).serial_number


def self_signed(
    path: Path, issuer: x509.Name | None = None, key: ec.EllipticCurvePrivateKey | None = None
) -> Path:
    """A certificate for a new key that ``key`` signs as ``issuer``; by default, itself."""
    own = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "anna")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(issuer or name)
        .public_key(own.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(minutes=5))
        .not_valid_after(now + timedelta(days=1))
        .sign(key or own, hashes.SHA256())
    )
    return write_pair(path, own, certificate)


def write_pair(path: Path, key: ec.EllipticCurvePrivateKey, certificate: x509.Certificate) -> Path:
    form = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8)
    path.write_bytes(
        key.private_bytes(*form, serialization.NoEncryption())
        + certificate.public_bytes(serialization.Encoding.PEM)
    )
    return path
