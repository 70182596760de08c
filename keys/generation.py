"""Fresh FHE keys from a client bundle. Concrete is imported on use: it takes ten seconds.

Only ever point this at a bundle folder that `blindfit.bundle.open_bundle` has audited.
"""

from __future__ import annotations

import hashlib
import secrets
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from blindfit.fhe_runtime import load_concrete

if TYPE_CHECKING:
    from concrete.ml.deployment import FHEModelClient

    from blindfit.manifest import Manifest

_SEED_BITS = 128  # what Concrete's generator takes


class RawKeys(NamedTuple):
    """Serialized keys: ``secret`` opens ciphertexts, ``evaluation`` is what the server gets."""

    secret: bytes
    evaluation: bytes


def open_client(bundle_folder: Path) -> FHEModelClient:
    """The bundle's client side, without keys and without a key folder.

    A ``key_dir`` would write secret keys in clear, and give the same keys again for every rotation.
    """
    load_concrete()
    from concrete.ml.deployment import FHEModelClient

    return FHEModelClient(str(bundle_folder))


def generate_keys(bundle_folder: Path) -> RawKeys:
    """New keys for the bundle's circuit, generated in memory."""
    client = open_client(bundle_folder)
    # Seeds of our own: left to itself Concrete takes them from the processor's RDSEED only, and
    # goes on with a warning where there is none.
    client.client.keygen(force=True, secret_seed=_seed(), encryption_seed=_seed())
    return RawKeys(
        secret=client.client.keys.serialize(),
        evaluation=client.client.evaluation_keys.serialize(),
    )


def _seed() -> int:
    # Never 0, which means "choose one yourself".
    return 1 + secrets.randbelow((1 << _SEED_BITS) - 1)


def read_manifest(bundle_folder: Path) -> Manifest:
    """The manifest of an audited bundle."""
    from blindfit.manifest import Manifest

    return Manifest.model_validate_json((bundle_folder / "manifest.json").read_bytes())


def client_digest(bundle_folder: Path) -> str:
    """SHA-256 of the bundle's ``client.zip``, in hex."""
    with (bundle_folder / "client.zip").open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


__all__ = ["RawKeys", "client_digest", "generate_keys", "open_client", "read_manifest"]
