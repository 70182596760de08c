"""The first steps of a rotation: from a bundle to a keyset that is sealed on disk.

Until it is sealed, a crash loses only a key that nobody has used.
"""

from __future__ import annotations

import hashlib
from dataclasses import replace

from blindfit.errors import KeyMismatchError, KeyStateError, SealError
from keys.means import server_active
from keys.rotation_run import Run
from keys.states import KeyState


def verify(run: Run) -> None:
    """The bundle and its 128-bit floor, again; and that no other store has the active key."""
    means, journal = run.means, run.journal
    if means.params_id != journal.params_id:
        raise KeyMismatchError(
            f"version {means.bundle.manifest.version} of {means.model} has other parameters than "
            f"rotation {journal.rotation_id} makes keys for",
            hint=f"run `blindfit-keys rotate --abort {journal.rotation_id}`, then rotate again",
        )
    means.audit(means.bundle)
    server_active(means.server, means.store, means.params_id)
    run.journal = replace(
        journal,
        version=means.bundle.manifest.version,
        bundle_digest=hashlib.sha256(means.bundle.manifest.to_bytes()).hexdigest(),
    )


def generate(run: Run) -> None:
    """New keys in memory. Their key_id is noted before they are on disk."""
    run.keyset = run.means.generate(run.means.bundle.folder)
    run.journal = replace(run.journal, new_key_id=run.keyset.key_id)


def check_new(run: Run) -> None:
    """Concrete can return the same keys again: a rotation that changes nothing must not pass."""
    keyset, old_key_id = run.new_keyset(), run.journal.old_key_id
    if keyset.params_id != run.means.params_id:
        raise KeyMismatchError("the generated keys do not have the model's parameters")
    if old_key_id is None or run.means.store.record(old_key_id).state is KeyState.DESTROYED:
        return
    with run.means.store.open(old_key_id) as old:
        if keyset.same_secret(old):
            raise KeyStateError(
                "the generated keys are the old ones; nothing was changed",
                hint="report this: the key generator returned the same keys twice",
            )


def seal(run: Run) -> None:
    """On disk and readable with the store's lock before anybody depends on it."""
    store, keyset = run.means.store, run.new_keyset()
    if not run.is_stored(keyset.key_id):
        store.create(keyset, model=run.journal.models[0])
    with store.open(keyset.key_id) as written:
        if not written.same_secret(keyset):
            raise SealError("the sealed keyset does not read back as it was written")


__all__ = ["check_new", "generate", "seal", "verify"]
