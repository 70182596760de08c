"""A reader of sealed keysets written from `docs/keyset-format.md` alone.

It shares no code with ``keys`` and does HPKE itself, from RFC 9180: if the two disagree, the page
or the program is wrong.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import struct
from collections.abc import Callable

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id
from cryptography.hazmat.primitives.kdf.hkdf import HKDF, HKDFExpand

Unwrap = Callable[[dict], bytes]


def read(content: bytes, kind: str, unwrap: Unwrap) -> tuple[bytes, bytes]:
    """Secret keys and evaluation keys; ``unwrap`` gets each stanza of ``kind``."""
    magic, version, length = struct.unpack_from(">16sHI", content)
    assert (magic, version) == (b"blindfit keyset\n", 1)
    header = json.loads(content[22 : 22 + length])
    described = content[: 22 + length]
    (size,) = struct.unpack_from(">I", content, 22 + length)
    stanzas = json.loads(content[26 + length : 26 + length + size])
    covered = content[: 26 + length + size]
    checksum = content[len(covered) :][:32]
    assert hashlib.sha256(covered).digest() == checksum
    data_key = next(filter(None, (attempt(unwrap, s) for s in stanzas if s["kind"] == kind)))
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


def attempt(unwrap: Unwrap, stanza: dict) -> bytes | None:
    try:
        return unwrap(stanza)
    except InvalidTag:
        return None


def derive(data_key: bytes, purpose: bytes) -> bytes:
    return HKDF(SHA256(), 32, salt=None, info=b"blindfit keyset v1 " + purpose).derive(data_key)


def passphrase(secret: bytes) -> Unwrap:
    def unwrap(stanza: dict) -> bytes:
        key = Argon2id(
            salt=bytes.fromhex(stanza["salt"]),
            length=32,
            iterations=stanza["passes"],
            lanes=stanza["lanes"],
            memory_cost=stanza["memory_kib"],
        ).derive(secret)
        wrapped = bytes.fromhex(stanza["wrapped"])
        return AESGCM(key).decrypt(bytes(12), wrapped, b"blindfit keyset v1 argon2id")

    return unwrap


def keyring(secret_hex: str) -> Unwrap:
    def unwrap(stanza: dict) -> bytes:
        info = b"blindfit keyset v1 keyring"
        kdf = HKDF(SHA256(), 32, salt=bytes.fromhex(stanza["salt"]), info=info)
        key = kdf.derive(bytes.fromhex(secret_hex))
        return AESGCM(key).decrypt(bytes(12), bytes.fromhex(stanza["wrapped"]), info)

    return unwrap


def recovery(secret: bytes) -> Unwrap:
    private = X25519PrivateKey.from_private_bytes(secret)
    public = private.public_key().public_bytes_raw()

    def unwrap(stanza: dict) -> bytes:
        enc = bytes.fromhex(stanza["encapsulated"])
        shared = private.exchange(X25519PublicKey.from_public_bytes(enc))
        key, nonce = hpke_schedule(shared, enc + public, b"blindfit keyset v1 x25519-hpke")
        return AESGCM(key).decrypt(nonce, bytes.fromhex(stanza["wrapped"]), b"")

    return unwrap


def hpke_schedule(dh: bytes, kem_context: bytes, info: bytes) -> tuple[bytes, bytes]:
    """Key and base nonce of RFC 9180 §4.1 and §5.1, base mode, suite 0x0020 0x0001 0x0002."""
    kem, suite = b"KEM\x00\x20", b"HPKE\x00\x20\x00\x01\x00\x02"
    prk = labeled_extract(kem, b"", b"eae_prk", dh)
    shared = labeled_expand(kem, prk, b"shared_secret", kem_context, 32)
    context = b"\x00" + labeled_extract(suite, b"", b"psk_id_hash", b"")
    context += labeled_extract(suite, b"", b"info_hash", info)
    secret = labeled_extract(suite, shared, b"secret", b"")
    return (
        labeled_expand(suite, secret, b"key", context, 32),
        labeled_expand(suite, secret, b"base_nonce", context, 12),
    )


def labeled_extract(suite: bytes, salt: bytes, label: bytes, material: bytes) -> bytes:
    return hmac.digest(salt or bytes(32), b"HPKE-v1" + suite + label + material, "sha256")


def labeled_expand(suite: bytes, prk: bytes, label: bytes, info: bytes, length: int) -> bytes:
    labeled = length.to_bytes(2, "big") + b"HPKE-v1" + suite + label + info
    return HKDFExpand(SHA256(), length, info=labeled).derive(prk)
