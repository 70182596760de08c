"""Addresses as people write them."""

from __future__ import annotations

from blindfit.errors import InputError


def split_address(address: str) -> tuple[str, int]:
    """``"example.org:8443"`` or ``"[::1]:8443"`` as host and port; raises `InputError`."""
    host, _, port = address.rpartition(":")
    if not host or not port.isdigit() or not 0 < int(port) < 65536:
        raise InputError(f"{address!r} is not an address like example.org:8443")
    return host.strip("[]"), int(port)
