"""Several rotations with one connection and one passphrase; one that fails stops no other."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

from blindfit.bundle import Bundle, fetch_bundle, open_bundle
from blindfit.channel import ServerChannel
from blindfit.console import say
from blindfit.errors import BlindfitError
from keys.commands.connection import connected, report_step, unlocked_store
from keys.identity import Identity
from keys.journal import Journal
from keys.means import Means
from keys.rotation import Rotated, models_of
from keys.rotation import resume as resume_rotation
from keys.rotation import rotate as rotate_key
from keys.rotation_steps import is_activated
from keys.store import KeyRecord
from keys.unlocked_store import UnlockedStore


@dataclass
class Rotator:
    """An opened home and its server; ``rotated`` collects what was done."""

    home: Path
    identity: Identity
    channel: ServerChannel
    store: UnlockedStore
    rotated: list[Rotated] = field(default_factory=list)
    failures: list[BlindfitError] = field(default_factory=list)

    def resume(self, journal: Journal) -> None:
        """Go on with a rotation that was stopped."""
        self._try(
            ", ".join(journal.models),
            lambda: resume_rotation(self._means(self._bundle_of(journal)), journal, report_step),
        )

    def replace(self, record: KeyRecord, grace: timedelta, model: str | None = None) -> None:
        """A new key in place of one that encrypts, unless that happened already.

        It is proven with ``model``, or with one of its models that it still fits.
        """
        models = models_of(self.store, record.key_id)
        if not models:
            return
        self._try(
            ", ".join(models),
            lambda: rotate_key(
                self._means(fitting_bundle(self.fetch, record, (model,) if model else models)),
                report_step,
                grace=grace,
            ),
        )

    def fetch(self, model: str, version: int | None = None) -> Bundle:
        """A model version's bundle, audited."""
        return fetch_bundle(self.channel, self.home, self.identity.publisher_key, model, version)

    def _bundle_of(self, journal: Journal) -> Bundle:
        """The bundle to go on with: of the current version, if it has the rotation's parameters.

        Once the server has activated the key, it need not have the version any more.
        """
        model, version = journal.models[0], journal.version
        if is_activated(journal):
            folder = self.home / "bundles" / model / str(version)
            return open_bundle(folder, self.identity.publisher_key)
        current = self.fetch(model)
        if version and current.manifest.circuit.params_id != journal.params_id:
            return self.fetch(model, version)
        return current

    def _means(self, bundle: Bundle) -> Means:
        return Means(self.channel, self.store, bundle)

    def _try(self, models: str, rotate: Callable[[], Rotated]) -> None:
        say(f"keys of {models}:")
        try:
            self.rotated.append(rotate())
        except KeyboardInterrupt:
            say("  stopped; see `blindfit-keys rotate --status`, go on with `rotate --resume`")
            raise
        except BlindfitError as error:
            say(f"  failed: {error}")
            self.failures.append(error)


def fitting_bundle(
    fetch: Callable[[str], Bundle], record: KeyRecord, models: Sequence[str]
) -> Bundle:
    """The bundle of a model that still has the key's parameters; else the first one's."""
    bundles = [fetch(model) for model in models]
    fitting = [b for b in bundles if b.manifest.circuit.params_id == record.params_id]
    return (fitting or bundles)[0]


@contextmanager
def opened_rotator(home: Path, passphrase_file: Path | None) -> Iterator[Rotator]:
    """A connection and the opened store; raises the first failure at the end."""
    with connected(home) as (identity, channel):
        rotator = Rotator(home, identity, channel, unlocked_store(home, passphrase_file))
        yield rotator
    if rotator.failures:
        raise rotator.failures[0]


__all__ = ["Rotator", "fitting_bundle", "opened_rotator"]
