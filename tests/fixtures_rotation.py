"""Rotations without Concrete: a store with a cheap passphrase, and a server in memory."""

from __future__ import annotations

from types import SimpleNamespace

from fixtures_keys import (
    CHEAP,
    PARAMS,
    PASSPHRASE,
    MemoryServer,
    PlainCipher,
    make_keyset,
    weighted_sum,
)

from keys.means import Means
from keys.stanzas import Passphrase
from keys.store import KeyStore

OTHER_PARAMS = "ef" * 32
WIDTH = 3


class StoppedError(Exception):
    """What ends a rotation where a test wants it."""


def make_bundle(model="digits", params_id=PARAMS, probes=((0, 0), (WIDTH, 2 * WIDTH)), version=1):
    """What a rotation reads of a bundle."""
    manifest = SimpleNamespace(
        model=model,
        version=version,
        circuit=SimpleNamespace(
            params_id=params_id, inputs=WIDTH, evaluation_keys=SimpleNamespace(length=64)
        ),
        probes=SimpleNamespace(lower=probes[0], upper=probes[1]),
        to_bytes=lambda: f"{model} {version} {params_id}".encode(),
    )
    return SimpleNamespace(folder=None, manifest=manifest)


def open_store(folder):
    """The store in a folder, made on first use."""
    store, lock = KeyStore(folder / "keys"), Passphrase(PASSPHRASE, CHEAP)
    return store.unlock(lock) if store.exists else store.initialize(lock)


def make_means(folder, **changes):
    """Everything that a rotation needs, with a new server."""
    settings = {
        "server": MemoryServer(weighted_sum),
        "store": open_store(folder),
        "bundle": make_bundle(),
        "generate": lambda bundle_folder: make_keyset(),
        "cipher": PlainCipher,
        "audit": lambda bundle: None,
    }
    return Means(**{**settings, **changes})


def states(means):
    """The states here and on the server, in order of creation."""
    here = [str(record.state) for record in means.store.records()]
    return here, [status.state for status in means.server.keys.values()]


def stop_at(description):
    """A report that stops the rotation when this step begins."""

    def report(step):
        if step == description:
            raise StoppedError

    return report
