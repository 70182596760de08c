"""Addresses as people write them."""

from __future__ import annotations

from blindfit.errors import InputError


def split_address(address: str, *, any_port: bool = False) -> tuple[str, int]:
    """``"example.org:8443"`` or ``"[::1]:8443"`` as host and port; raises `InputError`.

    ``any_port`` allows port 0, by which a listener lets the system choose.
    """
    host, _, port = address.rpartition(":")
    least = 0 if any_port else 1
    if not host or not (port.isascii() and port.isdigit()) or not least <= int(port) < 65536:
        raise InputError(f"{address!r} is not an address like example.org:8443")
    return host.strip("[]"), int(port)


def join_address(host: str, port: int) -> str:
    """The other way round."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
