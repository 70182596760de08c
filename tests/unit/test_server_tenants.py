"""Invitations, enrollment, and whom the server knows."""

from __future__ import annotations

import json
import threading

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from fixtures_server import open_tenants, request_for
from sqlalchemy import select, update

from blindfit.errors import AccessError, InputError, InvitationError, NotFoundError
from blindfit.invitation import Invitation, load_invitation
from server_app.database import Database, certificates, invitations
from server_app.home import create_home
from server_app.invitations import invite
from server_app.layout import Layout
from server_app.running import Running, announce, only_daemon
from server_app.tenants import participant_keys


def certificate_fingerprint(pem):
    return x509.load_pem_x509_certificate(pem).fingerprint(hashes.SHA256()).hex()


@pytest.fixture
def home(tmp_path):
    create_home(tmp_path / "home", [])
    return tmp_path / "home"


def enroll(home, token, participant_key=""):
    return open_tenants(home).enroll(token, request_for(), participant_key)


def ssh(key):
    form = (serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH)
    return key.public_key().public_bytes(*form).decode()


def test_an_invitation_makes_a_tenant_known_by_its_certificate(home):
    name, pem = enroll(home, invite(home, "clinic", ["digits"]).token)
    tenant = open_tenants(home).identify(certificate_fingerprint(pem))
    assert (name, tenant.name, tenant.state) == ("clinic", "clinic", "active")
    assert tenant.may_use("digits")
    assert not tenant.may_use("spam")


def test_an_invitation_without_models_grants_all(home):
    _, pem = enroll(home, invite(home, "clinic").token)
    assert open_tenants(home).identify(certificate_fingerprint(pem)).may_use("anything")


def test_an_invitation_is_used_once(home):
    token = invite(home, "clinic").token
    enroll(home, token)
    with pytest.raises(InvitationError):
        enroll(home, token)


def test_of_many_who_use_one_invitation_at_once_one_is_enrolled(home):
    token, outcomes = invite(home, "clinic").token, []

    def attempt():
        try:
            outcomes.append(enroll(home, token)[0])
        except InvitationError:
            outcomes.append(None)

    threads = [threading.Thread(target=attempt) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes, key=str) == [None] * 7 + ["clinic"]


def test_a_refused_request_leaves_the_invitation_usable(home):
    token = invite(home, "clinic").token
    with pytest.raises(InputError):
        open_tenants(home).enroll(token, b"no request", "")
    with pytest.raises(InputError):
        enroll(home, token, participant_key="ssh-ed25519 AAAA")
    assert enroll(home, token)[0] == "clinic"


def test_an_expired_wrong_or_unknown_invitation_gets_one_and_the_same_answer(home):
    token = invite(home, "clinic").token
    identifier, _, secret = token.partition(".")
    answers = set()
    for wrong in (f"{identifier}.{secret[:-1]}x", f"{'0' * 16}.{secret}", "", ".", identifier):
        with pytest.raises(InvitationError) as error:
            enroll(home, wrong)
        answers.add(str(error.value))
    database = Database.open(Layout(home).database)
    with database.writing() as connection:
        connection.execute(update(invitations).values(expires=1.0))
    with pytest.raises(InvitationError) as error:
        enroll(home, token)
    assert answers == {str(error.value)}


def test_the_secret_is_not_stored(home):
    invitation = invite(home, "clinic")
    secret = invitation.token.partition(".")[2].encode()
    for path in home.rglob("*"):
        if path.is_file():
            assert secret not in path.read_bytes(), path


def test_of_two_invitations_for_a_new_name_the_first_to_come_has_it(home):
    first, second = invite(home, "clinic"), invite(home, "clinic")
    enroll(home, second.token)
    with pytest.raises(InvitationError):
        enroll(home, first.token)


def test_an_existing_name_is_invited_again_only_on_purpose(home):
    _, old = enroll(home, invite(home, "clinic", ["digits"]).token)
    with pytest.raises(InputError, match="exists already"):
        invite(home, "clinic")
    with pytest.raises(InputError, match="no tenant"):
        invite(home, "hospital", renews=True)
    _, new = enroll(home, invite(home, "clinic", renews=True).token)
    tenants = open_tenants(home)
    for pem in (old, new):
        assert tenants.identify(certificate_fingerprint(pem)).models == {"digits"}


def test_a_revoked_tenant_is_refused_at_once_and_by_all_its_certificates(home):
    tenants = open_tenants(home)
    prints = [certificate_fingerprint(enroll(home, invite(home, "clinic").token)[1])]
    prints.append(
        certificate_fingerprint(enroll(home, invite(home, "clinic", renews=True).token)[1])
    )
    assert [tenants.identify(fingerprint).name for fingerprint in prints] == ["clinic"] * 2
    open_tenants(home).revoke("clinic")  # as the command line does, beside the daemon
    for fingerprint in prints:
        with pytest.raises(AccessError):
            tenants.identify(fingerprint)


def test_a_revoked_tenant_comes_back_with_a_new_certificate_only(home):
    _, lost = enroll(home, invite(home, "clinic").token)
    open_tenants(home).revoke("clinic")
    _, new = enroll(home, invite(home, "clinic", renews=True).token)
    assert open_tenants(home).identify(certificate_fingerprint(new)).state == "active"
    with pytest.raises(AccessError):
        open_tenants(home).identify(certificate_fingerprint(lost))


def test_an_expired_or_unknown_certificate_is_refused(home):
    _, pem = enroll(home, invite(home, "clinic").token)
    with Database.open(Layout(home).database).writing() as connection:
        connection.execute(update(certificates).values(expires=1.0))
    for fingerprint in (certificate_fingerprint(pem), "00" * 32, ""):
        with pytest.raises(AccessError):
            open_tenants(home).identify(fingerprint)


def test_revoking_nobody_is_an_error(home):
    with pytest.raises(NotFoundError):
        open_tenants(home).revoke("nobody")


@pytest.mark.parametrize("name", ["", "Clinic", "a b", "../x", "x" * 64, "-x", "a\n"])
def test_a_name_that_is_no_name_is_refused(home, name):
    with pytest.raises(InputError, match="cannot be a tenant's name"):
        invite(home, name)


def test_a_renewal_from_before_the_revocation_does_not_bring_a_tenant_back(home):
    enroll(home, invite(home, "clinic").token)
    token = invite(home, "clinic", renews=True).token
    open_tenants(home).revoke("clinic")
    with pytest.raises(InvitationError):
        enroll(home, token)
    assert [tenant.state for tenant in open_tenants(home).all()] == ["revoked"]
    assert enroll(home, invite(home, "clinic", renews=True).token)[0] == "clinic"


def test_who_was_only_invited_can_be_revoked_and_nobody_else_is(home):
    token, other = invite(home, "clinic").token, invite(home, "rival").token
    open_tenants(home).revoke("clinic")
    with pytest.raises(InvitationError):
        enroll(home, token)
    with pytest.raises(NotFoundError):
        open_tenants(home).revoke("clinic")
    assert enroll(home, other)[0] == "rival"


def test_participants_are_the_active_tenants_with_a_key_on_p384(home):
    key = ec.generate_private_key(ec.SECP384R1())
    for name in ("north", "south"):
        enroll(home, invite(home, name, participant=True).token, ssh(key) + " comment")
    enroll(home, invite(home, "client-only").token)
    open_tenants(home).revoke("south")
    assert participant_keys(home) == {"north": ssh(key)}


@pytest.mark.parametrize(
    "key", [ec.generate_private_key(ec.SECP256R1()), ed25519.Ed25519PrivateKey.generate()]
)
def test_a_participant_key_that_flower_would_not_take_is_refused(home, key):
    with pytest.raises(InputError, match="P-384"):
        enroll(home, invite(home, "north", participant=True).token, ssh(key))


def test_only_an_invitation_for_a_participant_takes_a_participants_key(home):
    key = ssh(ec.generate_private_key(ec.SECP384R1()))
    client, participant = invite(home, "clinic"), invite(home, "north", participant=True)
    assert client.federation_address is None
    with pytest.raises(InputError, match="for predictions only"):
        enroll(home, client.token, key)
    with pytest.raises(InputError, match="needs a participant's key"):
        enroll(home, participant.token)
    enroll(home, client.token)
    enroll(home, participant.token, key)
    assert participant_keys(home) == {"north": key}


def test_the_invitation_file_is_read_back_as_written(home, tmp_path):
    invitation = invite(home, "clinic", participant=True)
    path = tmp_path / "clinic.invitation"
    path.write_bytes(invitation.to_bytes())
    assert load_invitation(path) == invitation
    assert invitation.address == "127.0.0.1:7443"
    assert invitation.federation_address == "127.0.0.1:8443"


def test_an_invitation_names_the_ports_of_the_daemon_that_runs(home):
    layout = Layout(home)
    with only_daemon(layout):
        announce(layout, Running(1, "0.0.0.0:5001", "0.0.0.0:5002"))
        invitation = invite(home, "clinic")
    assert (invitation.address, invitation.enroll_address) == ("127.0.0.1:5001", "127.0.0.1:5002")
    assert invite(home, "clinic").address == "127.0.0.1:7443"


def test_a_damaged_invitation_is_refused_without_telling_its_secret(home, tmp_path):
    document = json.loads(invite(home, "clinic").to_bytes())
    path = tmp_path / "bad"
    path.write_text(json.dumps(document | {"address": "nowhere", "extra": document["token"]}))
    with pytest.raises(InvitationError) as error:
        load_invitation(path)
    assert "address" in str(error.value)
    assert document["token"] not in str(error.value)
    assert document["token"] not in repr(Invitation.model_validate(document))


def test_nothing_is_kept_of_a_transaction_that_fails(home):
    database = Database.open(Layout(home).database)
    with pytest.raises(ZeroDivisionError), database.writing() as connection:
        connection.execute(update(invitations).values(expires=1.0))
        connection.execute(
            invitations.insert().values(
                id="x",
                secret_sha256=b"",
                tenant="x",
                models=None,
                renews=0,
                participant=0,
                expires=1.0,
            )
        )
        raise ZeroDivisionError
    with database.reading() as connection:
        assert connection.execute(select(invitations.c.id)).all() == []
