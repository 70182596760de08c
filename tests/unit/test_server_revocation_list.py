"""A list of revoked certificates, as any program reads it."""

from __future__ import annotations

from pathlib import Path

import pytest
from cryptography import x509

from blindfit.errors import InputError
from server_app.home import create_home
from server_app.layout import Layout
from server_app.revocation_list import revocation_list


@pytest.fixture(scope="module")
def layout(tmp_path_factory: pytest.TempPathFactory) -> Layout:
    return create_home(tmp_path_factory.mktemp("server") / "home", [])


def read(layout: Layout, serials: list[int]) -> x509.CertificateRevocationList:
    return x509.load_pem_x509_crl(revocation_list(layout.home, serials))


def test_the_authority_signs_the_serial_numbers(layout: Layout) -> None:
    ca = x509.load_pem_x509_certificate(layout.ca_certificate.read_bytes())
    largest = (1 << 159) - 1  # of random_serial_number
    signed = read(layout, [7, largest, 7])
    assert signed.is_signature_valid(ca.public_key())
    assert signed.issuer == ca.subject
    assert [entry.serial_number for entry in signed] == [7, largest]


def test_it_is_valid_as_long_as_the_authority(layout: Layout) -> None:
    ca = x509.load_pem_x509_certificate(layout.ca_certificate.read_bytes())
    assert read(layout, []).next_update_utc == ca.not_valid_after_utc


def test_a_later_list_has_a_higher_number(layout: Layout) -> None:
    numbers = [
        read(layout, []).extensions.get_extension_for_class(x509.CRLNumber).value.crl_number
        for _ in range(2)
    ]
    assert numbers[0] < numbers[1] < 1 << 159  # RFC 5280, section 5.2.3


def test_a_home_without_its_authority_is_told(layout: Layout, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="not a server's home"):
        revocation_list(tmp_path, [])
    other = create_home(tmp_path / "home", [])
    other.ca_key.write_bytes(b"no key")
    with pytest.raises(InputError, match=r"the authority in .* cannot be read"):
        revocation_list(other.home, [])
