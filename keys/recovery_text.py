"""Keys as text that people copy: a prefix, then base32 of the key and a checksum over both.

The checksum (the first 8 bytes of SHA-256(prefix ‖ key)) is against typing errors: a public key
with one wrong letter would be a valid key whose private half nobody has.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from typing import Final

from blindfit.errors import InputError

KEY_BYTES: Final = 32
_CHECKSUM_BYTES: Final = 8


def encode_key(prefix: str, key: bytes) -> str:
    """``prefix`` and 64 letters and digits, in lower case."""
    return prefix + base64.b32encode(key + _checksum(prefix, key)).decode("ascii").lower()


def decode_key(prefix: str, text: str) -> bytes:
    """The 32 bytes in what `encode_key` wrote, in either case; raises `InputError`.

    The message does not show ``text``: it may be a secret.
    """
    lower = text.lower()
    try:
        content = base64.b32decode(lower.removeprefix(prefix).upper().encode("ascii"))
    except (binascii.Error, UnicodeEncodeError):
        content = b""
    key, checksum = content[:KEY_BYTES], content[KEY_BYTES:]
    if not lower.startswith(prefix) or not hmac.compare_digest(checksum, _checksum(prefix, key)):
        raise InputError(
            f"not a key of the form {prefix}…, or a letter of it is wrong",
            hint="copy it again, whole",
        )
    return key


def _checksum(prefix: str, key: bytes) -> bytes:
    return hashlib.sha256(prefix.encode("ascii") + key).digest()[:_CHECKSUM_BYTES]


__all__ = ["decode_key", "encode_key"]
