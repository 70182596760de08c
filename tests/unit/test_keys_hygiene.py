"""No secret in what is printed, raised, logged, pickled, written beside, or given to children."""

from __future__ import annotations

import copy
import io
import json
import logging
import os
import pickle
import subprocess
import sys
import traceback
from pathlib import Path

import pytest
from fixtures_keyring import MemoryKeyring, os_keyring
from fixtures_keys import CHEAP, make_keyset
from test_keys_identity import SERVER, issue

from blindfit.errors import BlindfitError, IntegrityError
from blindfit.files import write_exclusive
from keys.access import SECRET_ACCESS
from keys.chunks import CHUNK_BYTES
from keys.credentials import issued_credentials
from keys.identity import Identity, new_identity_request
from keys.os_keyring import KeyringEntry
from keys.recovery import RecoveryKey
from keys.recovery_text import encode_key
from keys.renewal import Renewal, pending_renewal
from keys.seal import open_data_key, rewrap, seal, unseal
from keys.stanzas import Passphrase

ROOT = Path(__file__).parents[2]
WORDS = b"correct horse battery staple"
SECRET = b"the secret key bytes of a client"
RECOVERY = RecoveryKey(b"the secret half of a recovery ke")
RECOVERY_TEXT = encode_key("blindfit-secret-recovery-key-", RECOVERY.secret)

_key, _request = new_identity_request("acme")
CREDENTIALS = issued_credentials(_key, issue(_request))
RENEWAL = Renewal("2026-01-01T00:00:00+00:00", "0f" * 32, CREDENTIALS.key_pem.decode())
IDENTITY = Identity(Path("identity"), SERVER, b"CA", CREDENTIALS)
PEM_LINE = CREDENTIALS.key_pem.splitlines()[1]  # repr breaks the lines of a PEM text
SECRETS = [WORDS, SECRET, RECOVERY.secret, PEM_LINE]


def assert_tells_nothing(text: str) -> None:
    for secret in SECRETS:
        shown = (secret.decode(), secret.hex(), str(list(secret))[1:-1])
        assert not any(form in text for form in shown)
    assert RECOVERY_TEXT[-60:] not in text


def sealed(keyset, *recipients) -> bytes:
    file = io.BytesIO()
    seal(keyset, file, recipients)
    return file.getvalue()


HOLDERS = [
    Passphrase(WORDS, CHEAP),
    RECOVERY,
    make_keyset(SECRET),
    CREDENTIALS,
    RENEWAL,
    IDENTITY,
]


@pytest.mark.parametrize("holder", HOLDERS, ids=lambda holder: type(holder).__name__)
def test_what_holds_a_secret_does_not_print_it(holder):
    for text in (repr(holder), str(holder), f"{holder}", repr([holder]), repr({"a": holder})):
        assert_tells_nothing(text)


@pytest.mark.parametrize("holder", HOLDERS, ids=lambda holder: type(holder).__name__)
@pytest.mark.parametrize("duplicate", [pickle.dumps, copy.copy, copy.deepcopy, json.dumps])
def test_what_holds_a_secret_is_not_pickled_or_copied(holder, duplicate):
    with pytest.raises(TypeError):
        duplicate(holder)


def failures():
    keyset = make_keyset(SECRET, os.urandom(2 * CHUNK_BYTES))
    content = sealed(keyset, Passphrase(WORDS, CHEAP), RECOVERY.recipient)
    late, early = bytearray(content), bytearray(content)
    late[-1] ^= 1  # the last chunk: the secret was read by then
    early[100] ^= 1
    other = sealed(keyset, Passphrase(b"another", CHEAP), RecoveryKey.generate().recipient)
    for opener in (Passphrase(WORDS), RECOVERY):
        for name, file in {"late": late, "early": early, "other": other, "empty": b""}.items():
            yield pytest.param(opener, keyset.key_id, bytes(file), id=f"{opener.kind} {name}")


@pytest.mark.parametrize(("opener", "key_id", "content"), failures())
def test_errors_tell_no_secret_even_with_the_locals_of_our_functions(opener, key_id, content):
    with pytest.raises(BlindfitError) as caught:
        unseal(io.BytesIO(content), opener, key_id=key_id)
    assert_tells_nothing(f"{caught.value!r} {caught.value.hint} {caught.value.details}")
    for error in chain(caught.value):
        assert_tells_nothing(repr(error.args))
        report = traceback.TracebackException.from_exception(error, capture_locals=True)
        frames = [frame for frame in report.stack if f"{ROOT}/keys/" in frame.filename]
        assert frames or error is not caught.value
        for frame in frames:
            assert_tells_nothing(str(frame.locals))


@pytest.mark.parametrize("damage", [b"", b"\xff", b'"}, {', b'", "other": "'])
def test_a_damaged_renewal_leaves_no_private_key_in_its_error(tmp_path, damage):
    (tmp_path / "identity").mkdir(mode=0o700)
    content = b'{"key_pem": "' + PEM_LINE + damage
    write_exclusive(tmp_path / "identity" / "renewal.json", content)
    with pytest.raises(IntegrityError, match="damaged") as caught:
        pending_renewal(tmp_path)
    for error in chain(caught.value):
        assert_tells_nothing(repr((error.args, vars(error))))


OTHER_FORMS = (
    "[]",
    "5",
    '{"started": 1, "old_fingerprint": 2, "key_pem": 3}',
    '{"started": "", "old_fingerprint": "", "key_pem": "\\u00e9"}',
)


@pytest.mark.parametrize("text", OTHER_FORMS)
def test_a_renewal_of_another_form_is_damaged(tmp_path, text):
    (tmp_path / "identity").mkdir(mode=0o700)
    write_exclusive(tmp_path / "identity" / "renewal.json", text.encode())
    with pytest.raises(IntegrityError, match="damaged"):
        pending_renewal(tmp_path)


def chain(error: BaseException | None):
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def test_nothing_is_logged(caplog):
    keyset = make_keyset(SECRET)
    with caplog.at_level(logging.DEBUG), os_keyring(MemoryKeyring()) as backend:
        lock = KeyringEntry.create()
        content = sealed(keyset, Passphrase(WORDS, CHEAP), RECOVERY, lock)
        for opener in (Passphrase(WORDS), RECOVERY, lock):
            unseal(io.BytesIO(content), opener, key_id=keyset.key_id)
    assert_tells_nothing(caplog.text)
    assert not any(secret in caplog.text for secret in backend.entries.values())


class Watching:
    """A recipient and opener that keeps the data keys that pass through it."""

    def __init__(self, lock):
        self._lock = lock
        self.kind = lock.kind
        self.seen = []

    def wrap(self, data_key):
        self.seen.append((data_key, bytes(data_key)))
        return self._lock.wrap(data_key)

    def unwrap(self, stanza):
        data_key = self._lock.unwrap(stanza)
        self.seen.append((data_key, bytes(data_key)))
        return data_key


def test_data_keys_are_wiped_after_use():
    lock, keyset = Watching(RECOVERY), make_keyset(SECRET, os.urandom(1000))
    content = sealed(keyset, lock)
    unseal(io.BytesIO(content), lock, key_id=keyset.key_id)
    for damaged in (content[:-1], forged_mac(content, keyset)):
        with pytest.raises(BlindfitError):
            unseal(io.BytesIO(damaged), lock, key_id=keyset.key_id)
    assert len(lock.seen) == 4 and len({before for _, before in lock.seen}) == 1
    for data_key, before in lock.seen:
        assert before != bytes(32) and data_key == bytes(32)


def forged_mac(content: bytes, keyset) -> bytes:
    payload = len(content) - (len(SECRET) + 1000 + 16)
    return content[: payload - 1] + bytes([content[payload - 1] ^ 1]) + content[payload:]


def test_the_secret_of_a_keyset_that_fails_to_open_is_wiped(monkeypatch):
    from keys import assembly

    messages = []
    new_message = assembly.new_message

    def remembered(description):
        messages.append(new_message(description))
        return messages[-1]

    monkeypatch.setattr(assembly, "new_message", remembered)
    keyset = make_keyset(SECRET, os.urandom(2 * CHUNK_BYTES))
    content = sealed(keyset, RECOVERY)
    with pytest.raises(BlindfitError):
        unseal(io.BytesIO(content[:-1]), RECOVERY, key_id=keyset.key_id)
    assert messages[0] == bytes(len(messages[0]))


EVENTS = """
import io, os, sys
events = []
def hook(name, arguments):
    writes = name == "open" and (set(str(arguments[1])) & set("wax+") or
        isinstance(arguments[2], int) and arguments[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT))
    if writes or name.startswith(("subprocess", "os.exec", "os.fork", "os.posix_spawn", "os.putenv",
                                  "os.mkdir", "os.rename", "socket", "tempfile", "shutil")):
        events.append((name, str(arguments)))
from test_keys_hygiene import run_everything
sys.addaudithook(hook)
run_everything()
print(events)
"""


def run_everything() -> None:
    """Every operation on secrets that is made in memory."""
    keyset = make_keyset(SECRET, os.urandom(3 * CHUNK_BYTES))
    content = sealed(keyset, Passphrase(WORDS, CHEAP), RECOVERY)
    opened = unseal(io.BytesIO(content), RECOVERY, key_id=keyset.key_id)
    data_key = open_data_key(io.BytesIO(content), Passphrase(WORDS))
    rewrap(io.BytesIO(content), io.BytesIO(), data_key, [Passphrase(WORDS, CHEAP), RECOVERY])
    bytes(opened.to_child(SECRET_ACCESS))


def test_nothing_is_written_beside_and_no_child_is_started():
    paths = [str(ROOT), str(ROOT / "tests"), str(ROOT / "tests" / "unit")]
    finished = subprocess.run(
        [sys.executable, "-B", "-c", EVENTS],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
    )
    assert finished.stdout == "[]\n"
    assert_tells_nothing(finished.stderr)


class StartedError(Exception):
    """Instead of the process."""


def test_a_child_gets_no_secret_by_its_arguments_or_environment(monkeypatch, tmp_path):
    from keys import cipher_pool

    calls = []

    def popen(*arguments, **options):
        calls.append((arguments, options))
        raise StartedError

    monkeypatch.setattr(cipher_pool.subprocess, "Popen", popen)
    with pytest.raises(StartedError):
        cipher_pool.CipherPool(tmp_path, make_keyset(SECRET), 1)
    [(arguments, options)] = calls
    assert_tells_nothing(f"{arguments} {options} {dict(os.environ)}")
    assert "env" not in options and options["stdin"] == subprocess.DEVNULL
