"""One real server for the tests that need just any; started once."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future
from pathlib import Path

import pytest

from blindfit.fhe_runtime import load_concrete
from demo.deployment import Deployment
from keys.cipher import Cipher


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


class LocalCipher:
    """`keys.cipher.Cipher` in this process: saves the ten seconds that a pool takes to start."""

    def __init__(self, bundle_folder: Path, keyset):
        self._cipher = Cipher(bundle_folder, keyset)

    def encrypt(self, row) -> Future:
        return _done(self._cipher.encrypt(row))

    def decrypt(self, ciphertext) -> Future:
        return _done(self._cipher.decrypt(ciphertext))

    def close(self) -> None:
        pass


def _done(result) -> Future:
    future: Future = Future()
    future.set_result(result)
    return future
