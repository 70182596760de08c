"""How long it takes to open a sealed keyset, and to list the keys without opening any."""

from __future__ import annotations

import os
import statistics
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

from cryptography.hazmat.primitives.kdf.argon2 import Argon2id

from bench.entries import Entry
from demo.programs import command
from keys.access import SECRET_ACCESS
from keys.keyset import Keyset
from keys.stanzas import Argon2Cost, Passphrase
from keys.store import KeyStore

_TIMES = 7
_KEYS = 20  # a few years of rotations
_PASSPHRASE = b"correct horse battery staple"


def measure_unlock(work: Path) -> list[Entry]:
    """Unlocking a store of twenty keysets and opening one; `blindfit-keys list` of that store."""
    home = work / "home"
    store = KeyStore.of(home).initialize(Passphrase(_PASSPHRASE))
    records = [store.create(_keyset(), model="bench") for _ in range(_KEYS)]

    def unlock() -> None:
        KeyStore.of(home).unlock(Passphrase(_PASSPHRASE)).open(records[0].key_id)

    def list_keys() -> None:
        subprocess.run(
            command("blindfit-keys", "list", "--json", "--home", str(home)),
            check=True,
            stdout=subprocess.DEVNULL,
        )

    return [
        _compared("keys.unlock", unlock, "one Argon2id", _derive),
        _compared("keys.list", list_keys, "--help", lambda: _help("blindfit-keys")),
    ]


def _compared(
    name: str, action: Callable[[], None], baseline: str, beside: Callable[[], None]
) -> Entry:
    seconds, others = [], []
    for _ in range(_TIMES):
        seconds.append(_timed(action))
        others.append(_timed(beside))
    value, other = statistics.median(seconds), statistics.median(others)
    return Entry(name, value, "s", baseline, other, _TIMES)


def _timed(action: Callable[[], None]) -> float:
    started = time.perf_counter()
    action()
    return time.perf_counter() - started


def _derive() -> None:
    cost = Argon2Cost()
    Argon2id(
        salt=bytes(16),
        length=32,
        iterations=cost.passes,
        lanes=cost.lanes,
        memory_cost=cost.memory_kib,
    ).derive(_PASSPHRASE)


def _help(program: str) -> None:
    subprocess.run(command(program, "--help"), check=True, stdout=subprocess.DEVNULL)


def _keyset() -> Keyset:
    return Keyset.from_raw(
        SECRET_ACCESS,
        secret=os.urandom(30_000),
        evaluation_keys=os.urandom(64),
        params_id="0" * 64,
        model_digest="0" * 64,
    )
