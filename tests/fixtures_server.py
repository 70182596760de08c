"""A server's home with hand-made bundles, for tests of `server_app` that run no circuit."""

from __future__ import annotations

from pathlib import Path

from bench.hand_made import PARAMS, frame_of, honest, publish, stage
from keys.identity import new_identity_request
from server_app.database import Database
from server_app.layout import Layout
from server_app.tenants import Tenants

__all__ = ["PARAMS", "frame_of", "honest", "open_tenants", "publish", "request_for", "stage"]
YEAR = 365 * 86_400.0


def open_tenants(home: Path) -> Tenants:
    """The tenants of a home, whose certificates last a year."""
    return Tenants(home, Database.open(Layout(home).database), YEAR)


def request_for(name: str = "anybody") -> bytes:
    """A certificate request with a new key."""
    return new_identity_request(name)[1]
