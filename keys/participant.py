"""The participant's key, by which a federation's SuperLink knows its SuperNode.

EC P-384 in OpenSSH's form, as Flower reads it: ``participant.key`` and ``participant.pub`` in
``<home>/identity/``. It outlives certificates: it is what the coordinator registered.
"""

from __future__ import annotations

from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from blindfit.errors import NotEnrolledError
from blindfit.files import PUBLIC, private_folder, write_atomic, write_exclusive
from keys.identity import identity_folder
from keys.private import read_private

_PRIVATE, _PUBLIC = "participant.key", "participant.pub"


def ensure_participant_key(home: Path) -> str:
    """The public key in OpenSSH's form (one line); the pair is made if it is not there.

    The caller holds `keys.identity_lock.changing_identity`.
    """
    folder = private_folder(identity_folder(home))
    if not (folder / _PRIVATE).exists():
        write_exclusive(folder / _PRIVATE, _new_private_key())
    public = _public_key(read_private(folder / _PRIVATE))
    write_atomic(folder / _PUBLIC, public + b"\n", PUBLIC)
    return public.decode("ascii")


def participant_key_path(home: Path) -> Path:
    """The private key's file; raises `NotEnrolledError` without one."""
    path = identity_folder(home) / _PRIVATE
    if not path.is_file():
        raise NotEnrolledError(f"{home} has no participant's key")
    return path


def participant_key_pem(file: Path) -> str:
    """The private key in ``file``, OpenSSH's form, for the process that trains.

    Raises `NotEnrolledError` for a file that holds none, and `AccessError` if others may read it.
    """
    private = read_private(file)
    _public_key(private)
    return private.decode("ascii")


def _new_private_key() -> bytes:
    return ec.generate_private_key(ec.SECP384R1()).private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.OpenSSH,
        serialization.NoEncryption(),
    )


def _public_key(private: bytes) -> bytes:
    try:
        key = serialization.load_ssh_private_key(private, None)
    except ValueError as error:
        raise NotEnrolledError(f"the participant's key is damaged: {error}") from error
    return key.public_key().public_bytes(
        serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH
    )


__all__ = ["ensure_participant_key", "participant_key_path", "participant_key_pem"]
