"""Wrote the frozen vectors with recovery recipients and keyring stanzas: never overwrites one.

The format is version 1, as in ``keyset_v1``; only the kinds of stanzas are more. The keyring here
is a dictionary: a reader of another make needs the entry's name and its secret, as in the JSON.
"""

from __future__ import annotations

import hashlib
import io
import json
from pathlib import Path

import keyring
from keyring.backend import KeyringBackend

from keys.access import SECRET_ACCESS
from keys.envelope import KEYSET, read_envelope
from keys.keyset import Keyset
from keys.os_keyring import KeyringEntry
from keys.recovery import RecoveryKey
from keys.seal import open_data_key, rewrap, seal
from keys.stanzas import Argon2Cost, Passphrase, Recipient

HERE = Path(__file__).parent
CHEAP = Argon2Cost(memory_kib=8192, passes=1, lanes=1)
PASSPHRASE = "correct horse battery staple"
RECOVERY, STRANGER = (RecoveryKey(hashlib.sha256(name).digest()) for name in (b"one", b"two"))
KEYRING_SECRET = hashlib.sha256(b"keyring").hexdigest()
ENTRY = KeyringEntry(hashlib.sha256(b"entry").hexdigest()[:32])


class DictionaryKeyring(KeyringBackend):
    """Has one secret."""

    priority = 1  # type: ignore[assignment]

    def get_password(self, service: str, username: str) -> str | None:
        """The secret of the vectors."""
        return KEYRING_SECRET if username == ENTRY.entry_id else None

    def set_password(self, service: str, username: str, password: str) -> None:
        """Not needed."""
        raise NotImplementedError


def keyset() -> Keyset:
    return Keyset.from_raw(
        SECRET_ACCESS,
        secret=hashlib.shake_256(b"secret").digest(100),
        evaluation_keys=hashlib.shake_256(b"evaluation").digest(64),
        params_id="ab" * 32,
        model_digest="cd" * 32,
    )


def write_new(name: str, content: bytes) -> None:
    """Raises FileExistsError rather than change a frozen vector."""
    with (HERE / name).open("xb") as file:
        file.write(content)


def good(name: str, opener: str, *recipients: Recipient) -> dict[str, str]:
    made, file = keyset(), io.BytesIO()
    seal(made, file, recipients)
    write_new(name, file.getvalue())
    return {"file": name, "opener": opener, **described(made)}


def described(made: Keyset) -> dict[str, str]:
    return {
        "key_id": made.key_id,
        "secret_sha256": hashlib.sha256(made.secret_view(SECRET_ACCESS)).hexdigest(),
        "evaluation_sha256": hashlib.sha256(made.evaluation_keys).hexdigest(),
    }


def rewrapped(name: str, base: dict[str, str]) -> dict[str, str]:
    """The payload of ``base`` under another passphrase and the recovery recipient."""
    content, target = (HERE / base["file"]).read_bytes(), io.BytesIO()
    data_key = open_data_key(io.BytesIO(content), Passphrase(PASSPHRASE.encode()))
    rewrap(io.BytesIO(content), target, data_key, [Passphrase(b"new", CHEAP), RECOVERY])
    write_new(name, target.getvalue())
    return {**base, "file": name, "opener": "recovery"}


def forged(name: str, base: dict[str, str], opener: str, error: str, old: bytes, new: bytes):
    """What somebody without the data key can do: change the head and repair its checksum."""
    content = (HERE / base["file"]).read_bytes()
    envelope = read_envelope(io.BytesIO(content), KEYSET)
    covered = envelope.covered[:-32].replace(old, new)
    if covered == envelope.covered[:-32] or len(old) != len(new):
        raise ValueError(name)
    file = f"forged_{name.replace(' ', '_')}.keyset"
    rest = content[len(envelope.covered) :]
    write_new(file, covered + hashlib.sha256(covered).digest() + rest)
    return bad(f"forged {name}", {**base, "file": file}, opener, error)


def bad(name: str, base: dict[str, str], opener: str, error: str) -> dict[str, str]:
    entry = {"name": name, "file": base["file"], "opener": opener, "key_id": base["key_id"]}
    return {**entry, "error": error}


def member(base: dict[str, str], kind: str, name: str) -> bytes:
    with (HERE / base["file"]).open("rb") as file:
        stanzas = read_envelope(file, KEYSET).stanzas
    return str(next(s[name] for s in stanzas if s["kind"] == kind)).encode()


def main() -> None:
    keyring.set_keyring(DictionaryKeyring())
    passphrase = Passphrase(PASSPHRASE.encode(), CHEAP)
    recovery = good("recovery.keyset", "recovery", RECOVERY.recipient)
    both = good("passphrase_and_recovery.keyset", "recovery", passphrase, RECOVERY.recipient)
    two = good("two_recoveries.keyset", "recovery", STRANGER.recipient, RECOVERY.recipient)
    locked = good("keyring.keyset", "keyring", ENTRY)
    all_three = good("all_kinds.keyset", "keyring", passphrase, ENTRY, RECOVERY.recipient)
    others = [{**both, "opener": "passphrase"}, {**two, "opener": "stranger"}]
    others += [{**all_three, "opener": o} for o in ("passphrase", "recovery")]
    hpke, wrong, tampered = "x25519-hpke", "WRONG_PASSPHRASE", "TAMPERED_KEYSET"
    encapsulated, named = (member(recovery, hpke, m) for m in ("encapsulated", "recipient"))
    wrapped, salt = member(recovery, hpke, "wrapped"), member(locked, "keyring", "salt")
    entry = ENTRY.entry_id.encode()
    document = {
        "version": 1,
        "passphrase": PASSPHRASE,
        "recovery": {"secret": RECOVERY.secret.hex(), "recipient": str(RECOVERY.recipient)},
        "stranger": {"secret": STRANGER.secret.hex(), "recipient": str(STRANGER.recipient)},
        "keyring": {"entry": ENTRY.entry_id, "secret": KEYRING_SECRET},
        "good": [recovery, both, two, locked, all_three, *others, rewrapped("new.keyset", both)],
        "bad": [
            bad("another recovery key", recovery, "stranger", wrong),
            bad("no stanza for a passphrase", recovery, "passphrase", tampered),
            bad("no stanza for a recovery key", locked, "recovery", tampered),
            bad("old passphrase", {**both, "file": "new.keyset"}, "passphrase", wrong),
            forged("encapsulated", recovery, "recovery", wrong, encapsulated, b"11" * 32),
            forged("small order", recovery, "recovery", wrong, encapsulated, b"00" * 32),
            forged("recipient", recovery, "recovery", wrong, named, b"11" * 32),
            forged("recipient text", recovery, "recovery", tampered, named, b"zz" * 32),
            forged("wrapped", recovery, "recovery", wrong, wrapped, b"00" * 48),
            forged("member", recovery, "recovery", tampered, b'"wrapped"', b'"wrapper"'),
            forged("created", recovery, "recovery", tampered, b'"created":"2', b'"created":"3'),
            forged("salt", locked, "keyring", wrong, salt, b"00" * 16),
            forged("entry", locked, "keyring", wrong, entry, b"00" * 16),
            forged("entry text", locked, "keyring", tampered, entry, b"zz" * 16),
            forged("params", locked, "keyring", tampered, b"ab" * 32, b"ac" * 32),
        ],
    }
    write_new("vectors.json", json.dumps(document, indent=1).encode() + b"\n")


if __name__ == "__main__":
    main()
