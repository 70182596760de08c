"""The command line of ``create``: what it says before there are keys to lose."""

from __future__ import annotations

from contextlib import contextmanager
from functools import partial
from types import SimpleNamespace

import pytest
from fixtures_keyring import MemoryKeyring, os_keyring
from fixtures_keys import MemoryServer, PlainCipher, make_keyset, weighted_sum
from fixtures_rotation import make_bundle, open_store
from typer.testing import CliRunner

from blindfit import bundle
from blindfit.errors import InputError
from keys import means
from keys.cli import app
from keys.commands import connection
from keys.recovery import RecoveryKey


@pytest.fixture
def server(monkeypatch):
    """A server in memory, to which every home is enrolled."""
    memory = MemoryServer(weighted_sum)

    @contextmanager
    def connected(home):
        yield SimpleNamespace(publisher_key=""), memory

    monkeypatch.setattr(connection, "connected", connected)
    monkeypatch.setattr(bundle, "fetch_bundle", lambda *arguments: make_bundle())
    light = partial(
        means.Means,
        generate=lambda folder: make_keyset(),
        cipher=PlainCipher,
        audit=lambda bundle: None,
    )
    monkeypatch.setattr(means, "Means", light)
    return memory


def create(home, *options):
    arguments = ["create", "--model", "digits", "--home", str(home), *map(str, options)]
    return CliRunner().invoke(app, arguments)


def test_before_the_passphrase_it_says_that_its_loss_would_lose_all(tmp_path, server):
    done = create(tmp_path, "--passphrase-file", tmp_path / "there is none")
    assert isinstance(done.exception, InputError)  # so it had said all that it says before
    assert "Nobody can replace the passphrase" in done.output
    assert "ALL KEYS ARE LOST" in done.output and "recipients add" in done.output
    assert server.calls == [] and not (tmp_path / "keys").exists()


def test_with_a_recovery_recipient_it_says_who_can_help(tmp_path, server):
    open_store(tmp_path).add_recipient("bob", RecoveryKey.generate().recipient)
    done = create(tmp_path, "--passphrase-file", tmp_path / "there is none")
    assert "recovery key of bob" in done.output and "LOST" not in done.output
    assert server.calls == []


def test_with_the_os_keyring_it_says_so_before_the_keys_are_made(tmp_path, server):
    with os_keyring(MemoryKeyring()):
        done = create(tmp_path, "--keyring")
    assert done.exit_code == 0
    assert "Nobody can replace the OS keyring's entry" in done.output
    assert done.output.index("ALL KEYS ARE LOST") < done.output.index("generating keys")
    assert server.calls == ["upload", "predict", "predict", "activate"]
