"""A tenant's certificates: renewal, revocation, and whose they are."""

from __future__ import annotations

import shutil
from dataclasses import replace

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.x509.oid import NameOID
from fixtures_server import open_tenants, request_for
from sqlalchemy import update

from blindfit.errors import AccessError, InputError, LimitError, NotFoundError
from server_app.certificates import Certificates
from server_app.config import Limits
from server_app.database import Database
from server_app.database import certificates as table
from server_app.home import create_home
from server_app.invitations import invite
from server_app.layout import Layout


def fingerprint(pem):
    return x509.load_pem_x509_certificate(pem).fingerprint(hashes.SHA256()).hex()


@pytest.fixture(scope="module")
def template(tmp_path_factory):
    home = tmp_path_factory.mktemp("certificates") / "home"
    create_home(home, [])
    return home


@pytest.fixture
def home(template, tmp_path):
    return shutil.copytree(template, tmp_path / "home")


def enrolled(home, name):
    return fingerprint(open_tenants(home).enroll(invite(home, name).token, request_for(), "")[1])


def certificates(home, **limits):
    return Certificates(home, Database.open(Layout(home).database), replace(Limits(), **limits))


def test_a_renewed_certificate_is_the_same_tenants_and_the_old_one_stays(home):
    own = enrolled(home, "clinic")
    pem = certificates(home).renew("clinic", own, request_for("somebody else"))
    (name,) = x509.load_pem_x509_certificate(pem).subject.get_attributes_for_oid(
        NameOID.COMMON_NAME
    )
    assert name.value == "clinic"
    for known in (own, fingerprint(pem)):
        assert open_tenants(home).identify(known).name == "clinic"


def test_the_new_certificate_ends_the_old_one_for_good(home):
    old = enrolled(home, "clinic")
    new = fingerprint(certificates(home).renew("clinic", old, request_for()))
    certificates(home).revoke("clinic", new, old)
    certificates(home).revoke("clinic", new, old)  # again: harmless
    with pytest.raises(AccessError):
        open_tenants(home).identify(old)
    assert open_tenants(home).identify(new).name == "clinic"


def test_a_certificate_cannot_lock_its_tenant_out(home):
    own = enrolled(home, "clinic")
    with pytest.raises(InputError, match="cannot revoke itself"):
        certificates(home).revoke("clinic", own, own)
    assert open_tenants(home).identify(own).name == "clinic"


def test_another_tenants_certificate_is_as_unknown_as_none(home):
    own, other = enrolled(home, "clinic"), enrolled(home, "rival")
    told = set()
    for asked in (other, "00" * 32, "", other.upper()):
        with pytest.raises(NotFoundError) as error:
            certificates(home).revoke("clinic", own, asked)
        told.add((str(error.value), error.value.hint, str(error.value.details)))
    assert len(told) == 1
    assert open_tenants(home).identify(other).name == "rival"


def test_certificates_that_are_valid_together_are_bounded(home):
    own = enrolled(home, "clinic")
    some = certificates(home, certificates_per_tenant=3)
    extra = [fingerprint(some.renew("clinic", own, request_for())) for _ in range(2)]
    with pytest.raises(LimitError, match="3 certificates"):
        some.renew("clinic", own, request_for())
    some.revoke("clinic", own, extra[0])
    assert some.renew("clinic", own, request_for())


def test_a_request_whose_answer_was_lost_takes_no_further_place(home):
    own, request = enrolled(home, "clinic"), request_for()
    some = certificates(home, certificates_per_tenant=2)
    lost, *_, last = [fingerprint(some.renew("clinic", own, request)) for _ in range(5)]
    with pytest.raises(AccessError):
        open_tenants(home).identify(lost)
    assert open_tenants(home).identify(last).name == "clinic"
    assert open_tenants(home).certificates("clinic") == 2


def test_asking_with_the_key_of_another_tenant_touches_nothing_of_it(home):
    request = request_for()
    _, pem = open_tenants(home).enroll(invite(home, "rival").token, request, "")
    own = enrolled(home, "clinic")
    certificates(home).renew("clinic", own, request)
    assert open_tenants(home).identify(fingerprint(pem)).name == "rival"


def test_a_bad_request_changes_nothing(home):
    own = enrolled(home, "clinic")
    with pytest.raises(InputError):
        certificates(home).renew("clinic", own, b"no request")
    assert open_tenants(home).certificates("clinic") == 1


def test_renewing_and_revoking_without_end_does_not_fill_the_database(home, monkeypatch):
    monkeypatch.setattr("server_app.certificates._KEPT", 4)
    own, some = enrolled(home, "clinic"), certificates(home)
    for _ in range(3):
        some.revoke("clinic", own, fingerprint(some.renew("clinic", own, request_for())))
    with pytest.raises(LimitError, match="4 certificates that are not expired"):
        some.renew("clinic", own, request_for())
    with Database.open(Layout(home).database).writing() as connection:
        others = table.c.fingerprint != own
        connection.execute(update(table).where(others).values(expires=1.0))
    assert some.renew("clinic", own, request_for())


def test_a_caller_that_was_revoked_just_now_gets_no_further_certificate(home):
    old = enrolled(home, "clinic")
    new = fingerprint(certificates(home).renew("clinic", old, request_for()))
    certificates(home).revoke("clinic", new, old)
    with pytest.raises(AccessError):
        certificates(home).renew("clinic", old, request_for())


def test_a_revoked_tenant_comes_back_without_its_older_certificates(home):
    old = enrolled(home, "clinic")
    open_tenants(home).revoke("clinic")
    with Database.open(Layout(home).database).writing() as connection:
        # As a renewal would leave it that came right after the revocation.
        connection.execute(update(table).where(table.c.fingerprint == old).values(state="active"))
    new = fingerprint(
        open_tenants(home).enroll(invite(home, "clinic", renews=True).token, request_for(), "")[1]
    )
    assert open_tenants(home).identify(new).name == "clinic"
    with pytest.raises(AccessError):
        open_tenants(home).identify(old)
