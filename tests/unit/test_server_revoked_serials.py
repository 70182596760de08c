"""The list of revoked certificates follows the database."""

from __future__ import annotations

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from fixtures_server import open_tenants, request_for
from sqlalchemy import update

from server_app.certificates import Certificates
from server_app.config import Limits
from server_app.database import Database
from server_app.database import certificates as table
from server_app.home import create_home
from server_app.invitations import invite
from server_app.layout import Layout
from server_app.revoked_serials import write_revocation_list


@pytest.fixture
def home(tmp_path):
    create_home(tmp_path / "home", [])
    return tmp_path / "home"


def enrolled(home, name, **invited):
    pem = open_tenants(home).enroll(invite(home, name, **invited).token, request_for(), "")[1]
    return x509.load_pem_x509_certificate(pem)


def fingerprint(certificate):
    return certificate.fingerprint(hashes.SHA256()).hex()


def renewed(home, certificate, request):
    some = Certificates(home, Database.open(Layout(home).database), Limits())
    pem = some.renew("clinic", fingerprint(certificate), request)
    return x509.load_pem_x509_certificate(pem)


def listed(home):
    file = Layout(home).revocation_list
    written = write_revocation_list(home, file)
    ca = x509.load_pem_x509_certificate(Layout(home).ca_certificate.read_bytes())
    crl = x509.load_pem_x509_crl(file.read_bytes())
    assert crl.is_signature_valid(ca.public_key())
    serials = {entry.serial_number for entry in crl}
    assert written.listed == len(serials)
    return serials


def test_nobody_is_listed_who_is_accepted(home):
    enrolled(home, "clinic")
    assert listed(home) == set()


def test_all_certificates_of_a_revoked_tenant_are_listed(home):
    first = enrolled(home, "clinic")
    second, other = renewed(home, first, request_for()), enrolled(home, "hospital")
    open_tenants(home).revoke("clinic")
    assert listed(home) == {first.serial_number, second.serial_number}
    assert other.serial_number not in listed(home)


def test_a_replaced_certificate_of_the_same_key_is_listed(home):
    """Else it would be accepted again when its key is stolen and its successor is revoked."""
    first, request = enrolled(home, "clinic"), request_for()
    lost, last = renewed(home, first, request), renewed(home, first, request)
    assert listed(home) == {lost.serial_number}
    assert last.serial_number not in listed(home)


def test_a_tenant_that_comes_back_does_so_without_its_older_certificate(home):
    old = enrolled(home, "clinic")
    open_tenants(home).revoke("clinic")
    new = enrolled(home, "clinic", renews=True)
    assert listed(home) == {old.serial_number}
    assert new.serial_number not in listed(home)


def test_expired_certificates_and_those_without_a_number_are_not_listed(home):
    old = enrolled(home, "clinic")
    open_tenants(home).revoke("clinic")
    with Database.open(Layout(home).database).writing() as connection:
        connection.execute(update(table).values(serial=None))
    written = write_revocation_list(home, Layout(home).revocation_list)
    assert (written.listed, written.unlisted) == (0, 1)
    assert written.unlisted_until == old.not_valid_after_utc.timestamp()
    with Database.open(Layout(home).database).writing() as connection:
        connection.execute(update(table).values(serial="1", expires=1.0))
    assert listed(home) == set()
