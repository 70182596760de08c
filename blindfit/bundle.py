"""A published bundle on disk, audited before anything in it is constructed.

The order matters: signature, hashes and sizes, members of the zip, the processing description,
parameter identity and the 128-bit floor. Only then may Concrete read ``client.zip``.
"""

from __future__ import annotations

import hashlib
import io
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from blindfit.errors import BundleError
from blindfit.files import PUBLIC, private_folder, write_atomic
from blindfit.manifest import Manifest
from blindfit.parameters import check_security_floor, params_id
from blindfit.processing_audit import audit_processing
from blindfit.signing import verify_manifest
from blindfit.strict_json import loads_strict

if TYPE_CHECKING:
    from blindfit.channel import ServerChannel

MANIFEST = "manifest.json"
SIGNATURE = "manifest.sig"
CLIENT_ZIP = "client.zip"
SERVER_ZIP = "server.zip"
MAX_MANIFEST_BYTES = 16 << 20
MAX_CLIENT_ZIP_BYTES = 64 << 20
_CLIENT_MEMBERS = frozenset({"client.specs.json", "serialized_processing.json", "versions.json"})


@dataclass(frozen=True)
class Bundle:
    """An audited bundle: its folder and its manifest."""

    folder: Path
    manifest: Manifest


@dataclass(frozen=True)
class SignedManifest:
    """A verified manifest; ``content`` and ``signature`` are as they were signed."""

    manifest: Manifest
    content: bytes
    signature: bytes


def parse_manifest(manifest: bytes, signature: bytes, publisher_key: str) -> Manifest:
    """The manifest in signed bytes; raises `BundleError` before it believes any of them."""
    if len(manifest) > MAX_MANIFEST_BYTES:
        raise BundleError(f"the manifest is larger than {MAX_MANIFEST_BYTES} bytes")
    verify_manifest(publisher_key, manifest, signature)
    try:
        return Manifest.model_validate_json(manifest)
    except ValidationError as error:
        raise BundleError(f"the manifest does not follow its format: {error}") from error


def open_bundle(folder: Path, publisher_key: str) -> Bundle:
    """The client's bundle in ``folder``, after every check; raises `BundleError` or
    `WeakParametersError`. ``publisher_key`` is the pinned Ed25519 key, in hex.
    """
    manifest = parse_manifest(
        _read(folder / MANIFEST, MAX_MANIFEST_BYTES), _read(folder / SIGNATURE, 64), publisher_key
    )
    content = checked_file(folder, CLIENT_ZIP, manifest)
    audit_client_zip(content, manifest)
    return Bundle(folder, manifest)


def checked_file(folder: Path, name: str, manifest: Manifest) -> bytes:
    """The bytes of a file of the bundle, if size and SHA-256 are the manifest's."""
    entry = manifest.files.get(name)
    if entry is None:
        raise BundleError(f"the manifest does not name {name}")
    content = _read(folder / name, entry.size)
    if len(content) != entry.size or hashlib.sha256(content).hexdigest() != entry.sha256:
        raise BundleError(f"{name} is not the file that the manifest names")
    return content


def audit_client_zip(content: bytes, manifest: Manifest) -> None:
    """Raise unless ``client.zip`` holds just the three known members, with the manifest's
    parameters, at or above the 128-bit floor.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            members = archive.infolist()
            names = [member.filename for member in members]
            if len(names) != len(_CLIENT_MEMBERS) or set(names) != _CLIENT_MEMBERS:
                raise BundleError(f"client.zip has unexpected members: {', '.join(names[:10])}")
            if sum(member.file_size for member in members) > MAX_CLIENT_ZIP_BYTES:
                raise BundleError(f"client.zip unpacks to over {MAX_CLIENT_ZIP_BYTES} bytes")
            specs: dict[str, Any] = loads_strict(archive.read("client.specs.json"))
            processing = archive.read("serialized_processing.json")
    except (zipfile.BadZipFile, zlib.error, EOFError, ValueError, RuntimeError) as error:
        raise BundleError(f"client.zip cannot be read: {error}") from error
    audit_processing(processing, manifest.estimator)
    if params_id(specs) != manifest.circuit.params_id:
        raise BundleError("client.zip has other crypto parameters than the manifest names")
    check_security_floor(specs)


def fetch_manifest(
    channel: ServerChannel, publisher_key: str, model: str, version: int | None = None
) -> SignedManifest:
    """The manifest of a model version (None: the current one), verified.

    Raises `BundleError` for one that is not signed, or that is another version's.
    """
    content, signature = channel.describe_model(model, version)
    manifest = parse_manifest(content, signature, publisher_key)
    if manifest.model != model or version not in (None, manifest.version):
        raise BundleError(
            f"the server answered with {manifest.model} version {manifest.version} "
            f"when asked for {model} version {version or '(current)'}"
        )
    return SignedManifest(manifest, content, signature)


def fetch_bundle(
    channel: ServerChannel, home: Path, publisher_key: str, model: str, version: int | None = None
) -> Bundle:
    """The bundle of a model version (None: the current one), from the cache in ``home`` or the
    server, audited either way.
    """
    signed = fetch_manifest(channel, publisher_key, model, version)
    manifest = signed.manifest
    folder = private_folder(home / "bundles" / manifest.model / str(manifest.version))
    cached = folder / MANIFEST
    if not (cached.is_file() and cached.read_bytes() == signed.content):
        entry = manifest.files.get(CLIENT_ZIP)
        if entry is None or entry.size > MAX_CLIENT_ZIP_BYTES:
            raise BundleError("the manifest names no client.zip of an acceptable size")
        content = channel.download_client_bundle(model, manifest.version, entry.size)
        if hashlib.sha256(content).hexdigest() != entry.sha256:
            raise BundleError("client.zip is not the file that the manifest names")
        audit_client_zip(content, manifest)
        write_atomic(folder / CLIENT_ZIP, content, PUBLIC)
        write_atomic(folder / SIGNATURE, signed.signature, PUBLIC)
        write_atomic(cached, signed.content, PUBLIC)
    return open_bundle(folder, publisher_key)


def _read(path: Path, limit: int) -> bytes:
    try:
        with path.open("rb") as file:
            content = file.read(limit + 1)
    except OSError as error:
        raise BundleError(f"cannot read {path}: {error}") from error
    if len(content) > limit:
        raise BundleError(f"{path} is larger than the {limit} bytes that it may have")
    return content
