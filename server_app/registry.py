"""Published model versions. A version never changes; which one is current, and which are retired,
is a small file beside them.

``registry/<model>/<version>/`` holds a bundle, ``registry/<model>/serving.json`` the rest. Every
call looks at the disk, so a daemon serves what another process has just published.
"""

from __future__ import annotations

import logging
import re
from dataclasses import dataclass
from pathlib import Path

from blindfit.bundle import (
    CLIENT_ZIP,
    MANIFEST,
    MAX_MANIFEST_BYTES,
    SERVER_ZIP,
    SIGNATURE,
    checked_file,
    parse_manifest,
)
from blindfit.errors import BundleError, InputError, PublishError, UnknownModelError
from blindfit.files import private_folder, sync_folder
from blindfit.manifest import MODEL_NAME, Manifest
from server_app.authority import load_publisher_public
from server_app.layout import Layout
from server_app.serving_state import ServingState, change_serving, read_serving

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class ModelVersion:
    """A published version; ``manifest_bytes`` and ``signature`` are as they were signed."""

    folder: Path
    manifest: Manifest
    manifest_bytes: bytes
    signature: bytes

    @property
    def model(self) -> str:
        """The model's name."""
        return self.manifest.model

    @property
    def version(self) -> int:
        """The version's number."""
        return self.manifest.version


class Registry:
    """The model versions in a server's home."""

    def __init__(self, home: Path):
        self.root = private_folder(Layout.existing(home).registry)
        self._publisher_key = load_publisher_public(home)
        self._verified: dict[Path, tuple[int, ModelVersion]] = {}

    # -- looking up --------------------------------------------------------------------------------

    def models(self) -> list[str]:
        """The names of all models, sorted."""
        return sorted(
            entry.name
            for entry in self.root.iterdir()
            if entry.is_dir() and re.fullmatch(MODEL_NAME, entry.name)
        )

    def numbers(self, model: str) -> list[int]:
        """The version numbers of a model, ascending; empty for an unknown one."""
        folder = self._folder(model)
        if not folder.is_dir():
            return []
        return sorted(
            int(entry.name) for entry in folder.iterdir() if entry.is_dir() and entry.name.isdigit()
        )

    def serving(self, model: str) -> ServingState:
        """Which version of a model is current, and which are retired."""
        return read_serving(self._folder(model))

    def versions(self) -> list[ModelVersion]:
        """All versions that verify, retired ones too; the others are named in the log."""
        found = []
        for model in self.models():
            for number in self.numbers(model):
                try:
                    found.append(self.load(model, number))
                except BundleError as error:
                    _log.error("model %s version %d is not served: %s", model, number, error)
        return found

    def current(self, model: str) -> int:
        """The version that clients get who name none; raises `UnknownModelError`."""
        current = self.serving(model).current
        if current is None:
            raise unknown_model(model)
        return current

    def open(self, model: str, version: int | None = None) -> ModelVersion:
        """A served version (None: the current one); its signature and hashes were verified.

        Raises `UnknownModelError`, also for a retired version, and `BundleError`.
        """
        number = self.current(model) if version is None else version
        if number in self.serving(model).retired:
            raise UnknownModelError(
                f"version {number} of {model} was retired and is gone",
                hint="use the current version; see `blindfit-client models`",
            )
        return self.load(model, number)

    def load(self, model: str, version: int) -> ModelVersion:
        """A version, even a retired one, verified once in this process."""
        folder = self._folder(model) / str(version)
        try:
            changed = (folder / MANIFEST).stat().st_mtime_ns
        except FileNotFoundError as error:
            raise UnknownModelError(
                f"there is no version {version} of a model {model!r}"
            ) from error
        known = self._verified.get(folder)
        if known is None or known[0] != changed:
            known = changed, self._verify(folder, model, version)
            self._verified[folder] = known
        return known[1]

    # -- changing ----------------------------------------------------------------------------------

    def next_version(self, model: str) -> int:
        """The number that a new version gets."""
        return max(self.numbers(model), default=0) + 1

    def add(self, staging: Path, manifest: Manifest) -> Path:
        """Take over a complete bundle by one rename and make it current; returns its folder.

        ``staging`` is on the registry's file system. Raises `PublishError` if the version exists,
        `BundleError` if the bundle does not verify; then nothing is changed.
        """
        self._verify(staging, manifest.model, manifest.version)
        model = private_folder(self._folder(manifest.model))
        final = model / str(manifest.version)
        staging.chmod(0o700)
        sync_folder(staging)
        try:
            staging.rename(final)
        except OSError as error:
            raise PublishError(
                f"version {manifest.version} of {manifest.model} was published meanwhile",
                hint="publish again",
            ) from error
        sync_folder(model)
        change_serving(model, lambda state: state.promoted(manifest.version))
        return final

    def promote(self, model: str, version: int) -> None:
        """Make a version the current one, also a retired one."""
        self.load(model, version)
        change_serving(self._folder(model), lambda state: state.promoted(version))

    def retire(self, model: str, version: int) -> None:
        """Serve a version no longer; its bundle stays on disk.

        Raises `InputError` for the current version while there are others to promote.
        """
        self.load(model, version)
        served = set(self.numbers(model)) - set(self.serving(model).retired) - {version}
        if self.serving(model).current == version and served:
            raise InputError(
                f"version {version} of {model} is the current one",
                hint=f"promote another first: `blindfit-server models promote {model} "
                f"{max(served)}`",
            )
        change_serving(self._folder(model), lambda state: state.retire(version))

    def _folder(self, model: str) -> Path:
        if not re.fullmatch(MODEL_NAME, model):
            raise unknown_model(model)
        return self.root / model

    def _verify(self, folder: Path, model: str, version: int) -> ModelVersion:
        try:
            with (folder / MANIFEST).open("rb") as file:
                content = file.read(MAX_MANIFEST_BYTES + 1)
            signature = (folder / SIGNATURE).read_bytes()
        except OSError as error:
            raise BundleError(f"cannot read the bundle in {folder}: {error}") from error
        manifest = parse_manifest(content, signature, self._publisher_key)
        if (manifest.model, manifest.version) != (model, version):
            raise BundleError(f"{folder} holds {manifest.model} version {manifest.version}")
        for name in (CLIENT_ZIP, SERVER_ZIP):
            checked_file(folder, name, manifest)
        return ModelVersion(folder, manifest, content, signature)


def unknown_model(model: str, version: int | None = None) -> UnknownModelError:
    """The same error for what does not exist and for what a tenant was not granted."""
    which = "current version" if version is None else f"version {version}"
    return UnknownModelError(f"there is no {which} of a model {model[:64]!r}")
