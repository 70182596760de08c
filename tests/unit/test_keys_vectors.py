"""The frozen vectors of the sealed file format, for our reader and for one written from the docs.

The second reader shares no code with ``keys``: if it disagrees, `docs/keyset-format.md` is wrong.
"""

from __future__ import annotations

import hashlib
import hmac
import io
import json
import struct
from pathlib import Path

import pytest
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from blindfit.errors import BlindfitError
from keys.access import SECRET_ACCESS
from keys.seal import unseal
from keys.stanzas import Passphrase

FOLDER = Path(__file__).parents[1] / "vectors" / "keyset_v1"
VECTORS = json.loads((FOLDER / "vectors.json").read_text())


def read(vector) -> bytes:
    content = bytearray((FOLDER / vector["file"]).read_bytes())
    for name, value in vector.get("edit", {}).items():
        if name == "flip":
            content[value] ^= 1
        elif name == "cut":
            del content[value:]
        elif name == "append":
            content += bytes.fromhex(value)
        elif name == "swap":
            a, b, size = value
            content[a : a + size], content[b : b + size] = (
                content[b : b + size],
                content[a : a + size],
            )
        elif name == "tail_of":
            content[-value[1] :] = (FOLDER / value[0]).read_bytes()[-value[1] :]
        else:
            raise ValueError(name)
    return bytes(content)


@pytest.mark.parametrize("vector", VECTORS["good"], ids=lambda v: v["file"])
def test_good_vectors_open(vector):
    passphrase = Passphrase(VECTORS["passphrase"].encode())
    keyset = unseal(io.BytesIO(read(vector)), passphrase, key_id=vector["key_id"])
    secret = keyset.secret_bytes(SECRET_ACCESS)
    assert hashlib.sha256(secret).hexdigest() == vector["secret_sha256"]
    assert hashlib.sha256(keyset.evaluation_keys).hexdigest() == vector["evaluation_sha256"]


@pytest.mark.parametrize("vector", VECTORS["bad"], ids=lambda v: v["name"])
def test_bad_vectors_fail_as_expected(vector):
    passphrase = Passphrase(vector.get("passphrase", VECTORS["passphrase"]).encode())
    with pytest.raises(BlindfitError) as caught:
        unseal(io.BytesIO(read(vector)), passphrase, key_id=vector["key_id"])
    assert caught.value.reason == vector["error"]


def documented_reader(content: bytes, passphrase: bytes) -> tuple[bytes, bytes]:
    magic, version, length = struct.unpack_from(">16sHI", content)
    assert (magic, version) == (b"blindfit keyset\n", 1)
    header = json.loads(content[22 : 22 + length])
    described = content[: 22 + length]
    (size,) = struct.unpack_from(">I", content, 22 + length)
    stanzas = json.loads(content[26 + length : 26 + length + size])
    covered = content[: 26 + length + size]
    checksum = content[len(covered) :][:32]
    assert hashlib.sha256(covered).digest() == checksum
    data_key = next(filter(None, (unwrap(stanza, passphrase) for stanza in stanzas)))
    mac = content[len(covered) + 32 :][:32]
    assert hmac.digest(derive(data_key, b"header"), covered + checksum, "sha256") == mac
    payload, position, number = b"", len(covered) + 64, 0
    cipher = AESGCM(derive(data_key, b"payload"))
    while position < len(content):
        chunk = content[position : position + 65536 + 16]
        position += len(chunk)
        nonce = number.to_bytes(11, "big") + bytes([position == len(content)])
        payload += cipher.decrypt(nonce, chunk, hashlib.sha256(described).digest())
        number += 1
    secret, evaluation = payload[: header["secret_bytes"]], payload[header["secret_bytes"] :]
    key_id = hashlib.sha256(bytes.fromhex(header["salt"]) + evaluation).hexdigest()
    assert (len(evaluation), key_id) == (header["evaluation_bytes"], header["key_id"])
    return secret, evaluation


def unwrap(stanza, passphrase: bytes) -> bytes | None:
    key = Argon2id(
        salt=bytes.fromhex(stanza["salt"]),
        length=32,
        iterations=stanza["passes"],
        lanes=stanza["lanes"],
        memory_cost=stanza["memory_kib"],
    ).derive(passphrase)
    try:
        return AESGCM(key).decrypt(
            bytes(12), bytes.fromhex(stanza["wrapped"]), b"blindfit keyset v1 argon2id"
        )
    except InvalidTag:
        return None


def derive(data_key: bytes, purpose: bytes) -> bytes:
    return HKDF(SHA256(), 32, salt=None, info=b"blindfit keyset v1 " + purpose).derive(data_key)


@pytest.mark.parametrize("vector", VECTORS["good"], ids=lambda v: v["file"])
def test_a_reader_written_from_the_documentation_agrees(vector):
    secret, evaluation = documented_reader(read(vector), VECTORS["passphrase"].encode())
    assert hashlib.sha256(secret).hexdigest() == vector["secret_sha256"]
    assert hashlib.sha256(evaluation).hexdigest() == vector["evaluation_sha256"]
