"""Large keysets stream: a process of its own seals, opens and hands on, and measures its peak."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

MEGABYTE = 1 << 20
SECRET, EVALUATION = 60 * MEGABYTE, 240 * MEGABYTE
ROOM = 16 * MEGABYTE

PROGRAM = """
import json, os, sys, threading
from multiprocessing.connection import Pipe
from pathlib import Path
from keys.access import SECRET_ACCESS
from keys.keyset import Keyset
from keys.recovery import RecoveryKey
from keys.seal import open_data_key, rewrap, seal, unseal
from keys.stanzas import Argon2Cost, Passphrase

file, other = Path(sys.argv[1]), Path(sys.argv[2])
# Argon2 takes what it is told to (64 MiB unless told otherwise), before any key is read: not here.
lock = Passphrase(b"correct horse", Argon2Cost(8 * 1024, 1, 1))

def memory(name):
    status = Path("/proc/self/status").read_text().splitlines()
    return 1024 * int(next(line.split()[1] for line in status if line.startswith(name)))

def grown(action):
    Path("/proc/self/clear_refs").write_text("5")  # the peak starts anew
    before = memory("VmRSS")
    result = action()
    return memory("VmHWM") - before, result

def write(target):
    with file.open("wb") as f:
        seal(target, f, [lock])

def read():
    with file.open("rb") as f:
        return unseal(f, lock, key_id=sys.argv[3])

def make():
    return Keyset.from_raw(SECRET_ACCESS, secret=os.urandom(int(sys.argv[4])),
        evaluation_keys=os.urandom(int(sys.argv[5])), params_id="ab" * 32, model_digest="cd" * 32)

def rewrapped():
    with file.open("rb") as f:
        data_key = open_data_key(f, lock)
        f.seek(0)
        with other.open("wb") as g:
            rewrap(f, g, data_key, [lock, RecoveryKey.generate()])

def handed_on(keyset):
    ours, theirs = Pipe()
    child = os.fork()
    if child == 0:
        ours.close()
        Keyset.from_parent(theirs.recv_bytes())
        os._exit(0)
    theirs.close()
    ours.send_bytes(keyset.to_child(SECRET_ACCESS))
    assert os.waitpid(child, 0)[1] == 0

lock.wrap(bytes(32))  # Argon2 and its libraries, once
if sys.argv[3] == "-":
    keyset = make()
    print(json.dumps({"key_id": keyset.key_id, "seal": grown(lambda: write(keyset))[0]}))
else:
    unsealing, keyset = grown(read)
    print(json.dumps({"unseal": unsealing, "rewrap": grown(rewrapped)[0],
                      "child": grown(lambda: handed_on(keyset))[0]}))
"""


def run(folder: Path, key_id: str) -> dict:
    arguments = [folder / "large", folder / "rewrapped", key_id, SECRET, EVALUATION]
    finished = subprocess.run(
        [sys.executable, "-c", PROGRAM, *map(str, arguments)],
        capture_output=True,
        check=True,
        timeout=300,
    )
    return json.loads(finished.stdout)


@pytest.mark.skipif(
    not Path("/proc/self/clear_refs").exists(), reason="measures by Linux's /proc/self/clear_refs"
)
def test_a_keyset_of_300_mb_takes_its_own_size_and_16_mb(tmp_path):
    sealing = run(tmp_path, "-")
    opening = run(tmp_path, sealing["key_id"])
    keys = SECRET + EVALUATION
    assert sealing["seal"] <= ROOM
    assert opening["unseal"] <= keys + ROOM
    assert keys <= opening["unseal"], "the measurement does not see the keys"
    assert opening["rewrap"] <= ROOM
    assert opening["child"] <= ROOM
