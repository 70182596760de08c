"""Sealed files that somebody changed: every change is found, and only our errors are raised."""

from __future__ import annotations

import hashlib
import io
import os
import random
from collections.abc import Iterator

import pytest
from fixtures_keyring import MemoryKeyring, os_keyring
from fixtures_keys import CHEAP, PASSPHRASE, make_keyset

from blindfit.errors import BlindfitError, SealError
from keys.chunks import CHUNK_BYTES
from keys.os_keyring import KeyringEntry
from keys.recovery import RecoveryKey
from keys.seal import open_data_key, rewrap, seal, unseal
from keys.stanzas import Passphrase

SEALED_CHUNK = CHUNK_BYTES + 16


def sealed(keyset, *recipients) -> bytes:
    file = io.BytesIO()
    seal(keyset, file, recipients)
    return file.getvalue()


@pytest.fixture(scope="module")
def recovery() -> RecoveryKey:
    return RecoveryKey.generate()  # opens in less than a millisecond, which Argon2 must not


@pytest.fixture(scope="module")
def small(recovery):
    """A keyset and its file, with a stanza of each kind."""
    keyset = make_keyset(os.urandom(40), b"evaluation")
    with os_keyring(MemoryKeyring()):
        lock = KeyringEntry.create()
        content = sealed(keyset, Passphrase(PASSPHRASE, CHEAP), lock, recovery.recipient)
    return keyset, content


def flips(content: bytes) -> Iterator[tuple[int, bytes]]:
    for position in range(len(content)):
        for bit in range(8):
            changed = bytearray(content)
            changed[position] ^= 1 << bit
            yield position, bytes(changed)


def test_every_flipped_bit_is_detected(small, recovery):
    keyset, content = small
    for _, changed in flips(content):
        with pytest.raises(SealError):
            unseal(io.BytesIO(changed), recovery, key_id=keyset.key_id)


def test_every_flipped_bit_is_detected_when_it_is_rewrapped(small, recovery):
    keyset, content = small
    data_key = open_data_key(io.BytesIO(content), recovery)
    payload = len(content) - (40 + len(b"evaluation") + 16)
    for position, changed in flips(content):
        if position < payload:
            with pytest.raises(SealError):
                open_data_key(io.BytesIO(changed), recovery)
            with pytest.raises(SealError):
                rewrap(io.BytesIO(changed), io.BytesIO(), data_key, [recovery])
            continue
        target = io.BytesIO()
        rewrap(io.BytesIO(changed), target, data_key, [recovery])
        target.seek(0)
        with pytest.raises(SealError):
            unseal(target, recovery, key_id=keyset.key_id)


def test_every_truncation_is_detected(small, recovery):
    keyset, content = small
    for length in range(len(content)):
        with pytest.raises(SealError):
            unseal(io.BytesIO(content[:length]), recovery, key_id=keyset.key_id)


def test_a_changed_head_with_a_repaired_checksum_is_detected(small, recovery):
    """What somebody without the data key can do."""
    keyset, content = small
    size = content.index(hashlib.sha256(content[: content.rindex(b"}]") + 2]).digest())
    for _, changed in flips(content[:size]):
        forged = changed + hashlib.sha256(changed).digest() + content[size + 32 :]
        with pytest.raises(BlindfitError):
            unseal(io.BytesIO(forged), recovery, key_id=keyset.key_id)
        with pytest.raises(BlindfitError):
            open_data_key(io.BytesIO(forged), recovery)


class Counting:
    """An opener that counts how often it had to work."""

    kind = "argon2id"

    def __init__(self):
        self.attempts = 0

    def unwrap(self, stanza):
        self.attempts += 1
        return Passphrase(PASSPHRASE).unwrap(stanza)


def test_a_changed_header_costs_no_argon2(small):
    """A flipped bit in the cost must not make the reader take a gigabyte, nor guess at all."""
    keyset, content = small
    opener = Counting()
    head = content.index(b'"wrapped"')
    for _, changed in flips(content[:head]):
        with pytest.raises(SealError):
            unseal(io.BytesIO(changed + content[head:]), opener, key_id=keyset.key_id)
    assert opener.attempts == 0
    assert unseal(io.BytesIO(content), opener, key_id=keyset.key_id).same_secret(keyset)
    assert opener.attempts == 1


def mutate(content: bytes, other: bytes, chance: random.Random) -> bytes:
    """One change of the kinds that disks, copies and attackers make."""
    size = len(content)
    start, length = chance.randrange(size), chance.choice([1, 16, 100, 5000, SEALED_CHUNK])
    end, target = start + length, chance.randrange(size)
    kind = chance.choice(["flip", "cut", "delete", "insert", "repeat", "swap", "zero", "splice"])
    if kind == "flip":
        flipped = bytes([content[start] ^ (1 << chance.randrange(8))])
        return content[:start] + flipped + content[start + 1 :]
    if kind == "cut":
        return content[:start]
    if kind == "delete":
        return content[:start] + content[end:]
    if kind == "insert":
        return content[:start] + chance.randbytes(length) + content[start:]
    if kind == "repeat":
        return content[:target] + content[start:end] + content[target:]
    if kind == "zero":
        return content[:start] + bytes(min(length, size - start)) + content[end:]
    if kind == "splice":
        return content[:start] + other[start:end] + content[end:]
    return swapped_chunks(content, chance)


def swapped_chunks(content: bytes, chance: random.Random) -> bytes:
    first = len(content) % SEALED_CHUNK  # with a payload of whole chunks: where they begin
    one, two = sorted(chance.sample(range((len(content) - first) // SEALED_CHUNK), 2))
    a, b = first + one * SEALED_CHUNK, first + two * SEALED_CHUNK
    head, between, tail = content[:a], content[a + SEALED_CHUNK : b], content[b + SEALED_CHUNK :]
    return head + content[b : b + SEALED_CHUNK] + between + content[a : a + SEALED_CHUNK] + tail


def undetected(count: int, chunks: int, recovery: RecoveryKey, seed: int) -> list[int]:
    """Numbers of the mutations of a file of ``chunks`` chunks that opened."""
    keyset = make_keyset(os.urandom(CHUNK_BYTES), os.urandom((chunks - 1) * CHUNK_BYTES))
    # A second sealing of the same keyset: the hardest file to tell from the first.
    content, other = sealed(keyset, recovery), sealed(keyset, recovery)
    chance, opened, tried = random.Random(seed), [], 0
    while tried < count:
        changed = mutate(content, other, chance)
        if changed == content:
            continue
        tried += 1
        try:
            unseal(io.BytesIO(changed), recovery, key_id=keyset.key_id)
            opened.append(tried)
        except BlindfitError:
            pass
    return opened


def test_random_mutations_of_a_file_are_detected(recovery):
    assert undetected(1000, 5, recovery, seed=1) == []


@pytest.mark.slow
def test_ten_thousand_random_mutations_of_a_large_file_are_detected(recovery):
    assert undetected(10_000, 48, recovery, seed=2) == []
