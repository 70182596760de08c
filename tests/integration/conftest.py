"""One real server for the tests that need just any; started once."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from fixtures_federation import address, federation_tls, participants  # noqa: F401 - fixtures

from blindfit.fhe_runtime import load_concrete, take_back_signals
from demo.deployment import Deployment


@pytest.fixture(scope="session")
def deployment(tmp_path_factory) -> Iterator[Deployment]:
    """A running server with the tenant ``client``."""
    with Deployment(tmp_path_factory.mktemp("deployment"), workers=2) as running:
        running.enroll("client")
        yield running


@pytest.fixture(scope="session")
def concrete() -> None:
    """Concrete, imported into the test process."""
    load_concrete()


@pytest.fixture(autouse=True)
def signals() -> Iterator[None]:
    """Tests that run circuits in this process leave others to live with closed connections."""
    yield
    take_back_signals()
