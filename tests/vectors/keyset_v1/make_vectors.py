"""Wrote the frozen vectors of keyset format version 1: it makes files and never overwrites one.

It stays as the record of how they came to be, and as the start for the next version's.
"""

from __future__ import annotations

import hashlib
import io
import json
from pathlib import Path

from keys.access import SECRET_ACCESS
from keys.envelope import KEYSET, read_envelope
from keys.keyset import Keyset
from keys.seal import seal
from keys.stanzas import Argon2Cost, Passphrase

HERE = Path(__file__).parent
PASSPHRASE = "correct horse battery staple"
CHEAP = Argon2Cost(memory_kib=8192, passes=1, lanes=1)
CHUNK = 64 * 1024 + 16


def write_new(name: str, content: bytes) -> None:
    """Raises FileExistsError rather than change a frozen vector."""
    with (HERE / name).open("xb") as file:
        file.write(content)


def keyset(secret: int, evaluation: int) -> Keyset:
    return Keyset.from_raw(
        SECRET_ACCESS,
        secret=hashlib.shake_256(b"secret").digest(secret),
        evaluation_keys=hashlib.shake_256(b"evaluation").digest(evaluation),
        params_id="ab" * 32,
        model_digest="cd" * 32,
    )


def write_good(name: str, made: Keyset, *recipients: Passphrase) -> dict[str, object]:
    file = io.BytesIO()
    seal(made, file, recipients)
    write_new(name, file.getvalue())
    secret = made.secret_bytes(SECRET_ACCESS)
    return {
        "file": name,
        "key_id": made.key_id,
        "secret_sha256": hashlib.sha256(secret).hexdigest(),
        "evaluation_sha256": hashlib.sha256(made.evaluation_keys).hexdigest(),
    }


def write_forged(name: str, base: str, old: bytes, new: bytes) -> None:
    """What somebody without the data key can do: change the head and repair its checksum."""
    content = (HERE / base).read_bytes()
    envelope = read_envelope(io.BytesIO(content), KEYSET)
    covered = envelope.covered[:-32].replace(old, new)
    assert covered != envelope.covered[:-32] and len(old) == len(new)
    rest = content[len(envelope.covered) :]
    write_new(name, covered + hashlib.sha256(covered).digest() + rest)


def main() -> None:
    small = write_good("small.keyset", keyset(100, 64), Passphrase(PASSPHRASE.encode(), CHEAP))
    good = [
        small,
        write_good("empty_evaluation.keyset", keyset(1, 0), Passphrase(PASSPHRASE.encode(), CHEAP)),
        write_good("default_cost.keyset", keyset(100, 64), Passphrase(PASSPHRASE.encode())),
        write_good(
            "two_passphrases.keyset",
            keyset(100, 64),
            Passphrase(b"another one", CHEAP),
            Passphrase(PASSPHRASE.encode(), CHEAP),
        ),
        write_good(
            "three_chunks.keyset", keyset(70_000, 61_100), Passphrase(PASSPHRASE.encode(), CHEAP)
        ),
    ]
    write_forged("forged_created.keyset", "small.keyset", b'"created":"2', b'"created":"3')
    write_forged("forged_cost.keyset", "small.keyset", b'"passes":1', b'"passes":0')
    write_forged("forged_memory.keyset", "small.keyset", b'"memory_kib":8192', b'"memory_kib":9e99')
    write_forged("forged_kind.keyset", "small.keyset", b'"kind":"argon2id"', b'"kind":"argon2ie"')
    salt = json.loads(_stanzas("small.keyset"))[0]["salt"].encode()
    write_forged("forged_salt.keyset", "small.keyset", salt, b"00" * 16)
    length = (HERE / "small.keyset").stat().st_size
    start = (HERE / "three_chunks.keyset").stat().st_size - 2 * CHUNK - (131_100 - 131_072 + 16)
    bad = [
        _edit("magic", "small.keyset", {"flip": 0}),
        _edit("version", "small.keyset", {"flip": 17}),
        _edit("header length", "small.keyset", {"flip": 21}),
        _edit("header", "small.keyset", {"flip": 60}),
        _edit("mac", "small.keyset", {"flip": length - 164 - 16 - 1}),
        _edit("payload", "small.keyset", {"flip": length - 100}),
        _edit("tag", "small.keyset", {"flip": length - 1}),
        _edit("empty", "small.keyset", {"cut": 0}),
        _edit("cut in the header", "small.keyset", {"cut": 100}),
        _edit("cut in the payload", "small.keyset", {"cut": length - 1}),
        _edit("cut before the payload", "small.keyset", {"cut": length - 180}),
        _edit("appended", "small.keyset", {"append": "00"}),
        _edit("chunks exchanged", "three_chunks.keyset", {"swap": [start, start + CHUNK, CHUNK]}),
        _edit("last chunk missing", "three_chunks.keyset", {"cut": start + 2 * CHUNK}),
        _edit(
            "payload of another file", "small.keyset", {"tail_of": ["two_passphrases.keyset", 180]}
        ),
        _edit("forged created", "forged_created.keyset", {}),
        _edit("forged cost", "forged_cost.keyset", {}),
        _edit("forged memory", "forged_memory.keyset", {}),
        _edit("forged kind", "forged_kind.keyset", {}),
        _edit("forged salt", "forged_salt.keyset", {}, "WRONG_PASSPHRASE"),
        {**_edit("wrong passphrase", "small.keyset", {}, "WRONG_PASSPHRASE"), "passphrase": "no"},
        {**_edit("another key's file", "small.keyset", {}), "key_id": "00" * 32},
    ]
    for entry in bad:
        entry.setdefault("key_id", small["key_id"])
    for entry in bad:
        if entry["file"] == "three_chunks.keyset":
            entry["key_id"] = good[-1]["key_id"]
    document = {"version": 1, "passphrase": PASSPHRASE, "good": good, "bad": bad}
    write_new("vectors.json", json.dumps(document, indent=1).encode() + b"\n")


def _edit(
    name: str, file: str, edit: dict[str, object], error: str = "TAMPERED_KEYSET"
) -> dict[str, object]:
    return {"name": name, "file": file, "edit": edit, "error": error}


def _stanzas(name: str) -> bytes:
    content = (HERE / name).read_bytes()
    start = content.index(b"[{")
    return content[start : content.index(b"}]", start) + 2]


if __name__ == "__main__":
    main()
