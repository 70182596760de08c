"""The middle steps of a rotation: the server has the new key, and it is proven to work."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from typing import TYPE_CHECKING, Final

from blindfit.errors import KeyRevokedError, ResponseMismatchError
from keys.means import Report, RowCipher
from keys.rotation_run import Run

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_LONG_UPLOAD: Final = 10 << 20  # bytes
USABLE: Final = frozenset({"STAGED", "ACTIVE"})
"""States in which the server has a key, whole, and computes proofs with it."""


def upload(run: Run) -> None:
    """The evaluation keys, unless the server has them; a dropped upload goes on where it ended."""
    if run.server_state(run.new_key_id) in USABLE:
        return
    keyset = run.new_keyset()
    run.means.server.upload_key(
        keyset.key_id,
        keyset.params_id,
        keyset.salt,
        keyset.evaluation_keys,
        on_progress=_in_tenths(run.report, len(keyset.evaluation_keys)),
    )


def check_staged(run: Run) -> None:
    """The server keeps the key, whole, and answers nobody with it yet."""
    state = run.server_state(run.new_key_id)
    if state not in USABLE:
        raise KeyRevokedError(
            f"the server keeps key {run.new_key_id[:12]} as {state}",
            hint=f"run `blindfit-keys rotate --abort {run.journal.rotation_id}`, then rotate again",
        )


def prove(run: Run) -> None:
    """Two public rows, really encrypted, computed and decrypted, must give the known numbers."""
    import numpy as np

    manifest = run.means.bundle.manifest
    probes = (
        ("lower", np.zeros(manifest.circuit.inputs), manifest.probes.lower),
        ("upper", np.ones(manifest.circuit.inputs), manifest.probes.upper),
    )
    with closing(run.means.cipher(run.means.bundle.folder, run.new_keyset())) as cipher:
        for bound, row, expected in probes:
            if _round_trip(run, cipher, row) != list(expected):
                raise ResponseMismatchError(
                    f"the proof with the row of {bound} bounds gave another result than it must",
                    hint="the key was not activated; tell the operator of the server",
                )
    run.wipe()  # nothing after this needs the secret, and a drain may take hours


def _in_tenths(report: Report, size: int) -> Callable[[int], None]:
    """Tells how far a long upload is; a short one is over before anybody asks."""
    told = 0

    def on_progress(received: int) -> None:
        nonlocal told
        if size >= _LONG_UPLOAD and 10 * received // size > told:
            told = 10 * received // size
            report(f"uploaded {received >> 20} of {size >> 20} MB")

    return on_progress


def _round_trip(run: Run, cipher: RowCipher, row: NDArray[np.float64]) -> list[int]:
    manifest = run.means.bundle.manifest
    reply = run.means.server.predict(
        manifest.model,
        manifest.version,
        run.new_key_id,
        cipher.encrypt(row).result(),
        prove=True,
    )
    return [int(value) for value in cipher.decrypt(reply.ciphertext).result().quantized]


__all__ = ["USABLE", "check_staged", "prove", "upload"]
