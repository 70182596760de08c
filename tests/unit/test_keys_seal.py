from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import tracemalloc

import pytest
from fixtures_keys import CHEAP, PASSPHRASE, make_keyset, sealed

from blindfit.errors import InputError, PassphraseError, SealError
from keys.access import SECRET_ACCESS
from keys.chunks import CHUNK_BYTES, ChunkWriter, read_chunks
from keys.description import decode_description, encode_description
from keys.envelope import KEYSET, write_envelope
from keys.seal import read_description, seal, unseal
from keys.stanzas import Argon2Cost, Passphrase

SEALED_CHUNK = CHUNK_BYTES + 16


def opened(content: bytes, key_id: str, passphrase: bytes = PASSPHRASE):
    return unseal(io.BytesIO(content), Passphrase(passphrase), key_id=key_id)


@pytest.mark.parametrize(
    ("secret", "evaluation"),
    [
        (1, 0),
        (CHUNK_BYTES - 1, 0),
        (CHUNK_BYTES, 0),
        (CHUNK_BYTES, 1),
        (100, CHUNK_BYTES),
        (CHUNK_BYTES * 2 + 5, CHUNK_BYTES * 3 + 7),
    ],
)
def test_opening_gives_back_what_was_sealed(secret, evaluation):
    keyset = make_keyset(os.urandom(secret), os.urandom(evaluation))
    again = opened(sealed(keyset), keyset.key_id)
    assert again.secret_bytes(SECRET_ACCESS) == keyset.secret_bytes(SECRET_ACCESS)
    assert again.evaluation_keys == keyset.evaluation_keys
    assert again.description == keyset.description


def test_the_description_is_readable_without_a_passphrase():
    keyset = make_keyset()
    assert read_description(io.BytesIO(sealed(keyset))) == keyset.description


def test_a_description_has_one_encoding():
    description = make_keyset().description
    encoded = encode_description(description)
    assert decode_description(encoded) == description
    document = json.loads(encoded)
    others = [
        encoded + b" ",
        json.dumps(document).encode(),
        encoded[:-1] + b',"secret_bytes":32}',
        canonical({**document, "extra": 1}),
        json.dumps({**document, "salt": document["salt"].upper() + "A"}).encode(),
        encoded.replace(b'"created"', b'"\x1b[2J\x1b[H"'),
        canonical({**document, "created": "2025-13-31T12:00:00Z"}),
        canonical({**document, "created": "२०२५-01-31T12:00:00Z"}),
        canonical({**document, "secret_bytes": 0}),
        canonical({**document, "evaluation_bytes": 2**33}),
        canonical({**document, "secret_bytes": True}),
        canonical({**document, "key_id": 7}),
        b"[]",
        b"{}",
        b"[" * 100_000,
        b"\xff",
    ]
    for other in others:
        with pytest.raises(SealError) as caught:
            decode_description(other)
        assert str(caught.value).isprintable()


def canonical(document) -> bytes:
    return json.dumps(document, sort_keys=True, separators=(",", ":")).encode()


def test_a_header_that_nobody_could_read_is_not_written():
    with pytest.raises(InputError, match="too long"):
        write_envelope(io.BytesIO(), KEYSET, bytes(16 * 1024 + 1), [{"kind": "none"}], bytes(32))
    with pytest.raises(InputError, match="too long"):
        write_envelope(io.BytesIO(), KEYSET, b"", [{"kind": "x" * 70_000}], bytes(32))


def test_the_file_holds_no_secret_in_clear():
    secret = b"the secret key bytes of a client"
    assert secret not in sealed(make_keyset(secret))


def test_sealing_twice_uses_other_keys():
    keyset = make_keyset()
    assert sealed(keyset)[-48:] != sealed(keyset)[-48:]


def test_a_wrong_passphrase_is_told_from_damage():
    keyset = make_keyset()
    with pytest.raises(PassphraseError):
        opened(sealed(keyset), keyset.key_id, b"wrong horse")


def _head(content: bytes, payload_chunks: int, last: int) -> int:
    return len(content) - (payload_chunks - 1) * SEALED_CHUNK - (last + 16)


def test_reordered_repeated_and_dropped_chunks_are_detected():
    keyset = make_keyset(os.urandom(3 * CHUNK_BYTES))
    content = sealed(keyset)
    start = _head(content, 3, CHUNK_BYTES)
    head = content[:start]
    one, two, three = (
        content[start + i * SEALED_CHUNK : start + (i + 1) * SEALED_CHUNK] for i in range(3)
    )
    assert opened(head + one + two + three, keyset.key_id).same_secret(keyset)
    orders = [(two, one, three), (one, one, three), (one, three), (three, two, one)]
    for chunks in [*orders, (one, two, three, three), (one, two)]:
        with pytest.raises(SealError):
            opened(head + b"".join(chunks), keyset.key_id)


def test_appended_bytes_are_detected():
    keyset = make_keyset()
    with pytest.raises(SealError, match="appended"):
        opened(sealed(keyset) + b"\0", keyset.key_id)


def test_a_file_in_the_place_of_another_key_is_refused():
    keyset, other = make_keyset(), make_keyset()
    with pytest.raises(SealError, match="should be"):
        opened(sealed(other), keyset.key_id)


def test_the_payload_of_another_keyset_is_refused():
    keyset, other = make_keyset(), make_keyset()
    payload = 32 + 16
    with pytest.raises(SealError):
        opened(sealed(keyset)[:-payload] + sealed(other)[-payload:], keyset.key_id)


@pytest.mark.parametrize(
    "change",
    [
        {"memory_kib": 4 * 1024 * 1024},
        {"memory_kib": 1},
        {"passes": 1000},
        {"passes": 0},
        {"lanes": 10_000},
        {"lanes": True},
        {"passes": "3"},
        {"salt": "00"},
        {"salt": "zz" * 16},
        {"wrapped": None},
    ],
)
def test_a_stanza_cannot_ask_for_more_than_the_bounds(change):
    recipient = Passphrase(PASSPHRASE, CHEAP)
    stanza = {**recipient.wrap(bytes(32)), **change}
    with pytest.raises(SealError):
        recipient.unwrap(stanza)


def test_sealing_refuses_a_cost_that_reading_would_refuse():
    with pytest.raises(InputError, match="out of bounds"):
        Passphrase(PASSPHRASE, Argon2Cost(memory_kib=1024)).wrap(bytes(32))


def test_the_default_cost_is_64_mib_3_passes_4_lanes():
    stanza = Passphrase(PASSPHRASE).wrap(bytes(32))
    assert (stanza["memory_kib"], stanza["passes"], stanza["lanes"]) == (65536, 3, 4)


def test_any_of_several_passphrases_opens():
    keyset, file = make_keyset(), io.BytesIO()
    seal(keyset, file, [Passphrase(b"one", CHEAP), Passphrase(b"two", CHEAP)])
    for passphrase in (b"one", b"two"):
        assert opened(file.getvalue(), keyset.key_id, passphrase).same_secret(keyset)
    with pytest.raises(PassphraseError):
        opened(file.getvalue(), keyset.key_id, b"three")


def test_a_passphrase_does_not_appear_when_it_is_printed():
    assert "horse" not in repr(Passphrase(PASSPHRASE))


CHUNK_SIZES = [0, 1, CHUNK_BYTES - 1, CHUNK_BYTES, CHUNK_BYTES + 1, 3 * CHUNK_BYTES]


def chunked(content: bytes, step: int) -> bytes:
    file = io.BytesIO()
    writer = ChunkWriter(file, bytes(32), b"context")
    for start in range(0, len(content), step):
        writer.write(content[start : start + step])
    writer.finish()
    return file.getvalue()


@pytest.mark.parametrize("size", CHUNK_SIZES)
@pytest.mark.parametrize("step", [1000, CHUNK_BYTES, 1 << 20])
def test_chunks_do_not_depend_on_how_they_were_written(size, step):
    content = os.urandom(size)
    file = chunked(content, step)
    assert file == chunked(content, max(1, size))
    assert len(file) == size + 16 * max(1, -(-size // CHUNK_BYTES))
    for length in (None, size):
        pieces = read_chunks(io.BytesIO(file), bytes(32), b"context", length)
        assert b"".join(pieces) == content


@pytest.mark.parametrize("size", CHUNK_SIZES)
def test_chunks_of_unknown_length_end_at_the_last_flag(size):
    file = chunked(os.urandom(size), 1 << 20)
    whole = len(file) // SEALED_CHUNK * SEALED_CHUNK
    for other in {file[:-1], file + b"x", file[:whole], file[: whole - SEALED_CHUNK], b""} - {file}:
        with pytest.raises(SealError):
            list(read_chunks(io.BytesIO(other), bytes(32), b"context"))


def test_chunks_without_their_end_are_not_readable():
    file = io.BytesIO()
    ChunkWriter(file, bytes(32), b"context").write(bytes(3 * CHUNK_BYTES))
    file.seek(0)
    with pytest.raises(SealError):
        list(read_chunks(file, bytes(32), b"context"))


@pytest.mark.parametrize("length", [0, CHUNK_BYTES, 2 * CHUNK_BYTES - 1, 2 * CHUNK_BYTES + 1])
def test_chunks_of_another_length_are_refused(length):
    file = chunked(bytes(2 * CHUNK_BYTES), 1 << 20)
    with pytest.raises(SealError):
        list(read_chunks(io.BytesIO(file), bytes(32), b"context", length))


def test_sealing_and_opening_stream(tmp_path):
    size = 24 << 20
    keyset = make_keyset(b"secret", bytes(size))
    tracemalloc.start()
    with (tmp_path / "large").open("wb") as file:
        seal(keyset, file, [Passphrase(PASSPHRASE, CHEAP)])
    assert tracemalloc.get_traced_memory()[1] < 4 << 20
    tracemalloc.reset_peak()
    with (tmp_path / "large").open("rb") as file:
        unseal(file, Passphrase(PASSPHRASE), key_id=keyset.key_id)
    assert tracemalloc.get_traced_memory()[1] < size + (16 << 20)
    tracemalloc.stop()


def test_passphrases_of_several_lanes_are_derived_in_two_threads_at_once():
    # In a program of its own: a deadlock in OpenSSL's pool would take the tests with it.
    code = """
import os, threading
from keys.stanzas import Argon2Cost, Passphrase
lock = Passphrase(b"correct horse", Argon2Cost(memory_kib=8192, passes=1, lanes=4))
opened = []
def work():
    for _ in range(3):
        key = os.urandom(32)
        opened.append(bytes(lock.unwrap(lock.wrap(key))) == key)
threads = [threading.Thread(target=work) for _ in range(2)]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
print(opened.count(True))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stdout == "6\n"
