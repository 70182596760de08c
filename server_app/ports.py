"""The two TLS ports of a server, and the services behind them."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from server_app.admission import Admission
from server_app.answering import caller
from server_app.catalogue import Catalogue
from server_app.certificates import Certificates
from server_app.config import Config
from server_app.database import Database
from server_app.evaluation_keys import EvaluationKeys
from server_app.inference import Inference
from server_app.key_activation import KeyActivation
from server_app.key_records import KeyRecords
from server_app.key_uploads import KeyUploads
from server_app.layout import Layout
from server_app.listening import Listener
from server_app.open_uploads import OpenUploads
from server_app.registry import ModelVersion, Registry
from server_app.runner import Runner
from server_app.servicer import (
    ENROLLMENT,
    TENANT_SERVICES,
    Services,
    add_enrollment,
    add_tenant_services,
)
from server_app.tenants import Tenants

_MAX_CALLS = 4096  # at once on the tenants' port
_MAX_ENROLLMENTS = 64  # at once on the enrollment port, which is open to anybody
_ENVELOPE = 64 << 10  # bytes of a message around its ciphertext


@dataclass(frozen=True)
class Ports:
    """Makes the ports of one home; they listen once they are started.

    ``draining`` is set when the daemon is to end; ``interceptors`` are gRPC's.
    """

    layout: Layout
    config: Config
    database: Database
    records: KeyRecords
    runner: Runner
    draining: asyncio.Event
    interceptors: Sequence[Any] = ()

    def tenants_port(self) -> Listener:
        """Models, keys, certificates and predictions, over mutual TLS."""
        limits = self.config.limits
        registry = Registry(self.layout.home)
        listener = Listener(
            self.config.listen,
            self.layout,
            message_limit(limits.max_message, registry.versions()),
            TENANT_SERVICES,
            client_certificates=True,
            max_calls=_MAX_CALLS,
            interceptors=(self._tenant_admission(), *self.interceptors),
        )
        add_tenant_services(self._services(registry), listener.server)
        return listener

    def enrollment_port(self) -> Listener:
        """Enrollment with an invitation, open to anybody."""
        listener = Listener(
            self.config.enroll_listen,
            self.layout,
            self.config.limits.max_enrollment_message,
            (ENROLLMENT,),
            client_certificates=False,
            max_calls=_MAX_ENROLLMENTS,
            interceptors=(Admission(lambda _: "anybody", _MAX_ENROLLMENTS), *self.interceptors),
        )
        add_enrollment(self._tenants(), listener.server)
        return listener

    def _services(self, registry: Registry) -> Services:
        limits = self.config.limits
        catalogue = Catalogue(registry)
        keys = EvaluationKeys(self.records, limits)
        return Services(
            tenants=self._tenants(),
            certificates=Certificates(self.layout.home, self.database, limits),
            catalogue=catalogue,
            uploads=KeyUploads(self.records, limits),
            open_uploads=OpenUploads(limits.uploads_per_tenant),
            keys=keys,
            activation=KeyActivation(self.records, limits),
            inference=Inference(catalogue, keys, self.runner, limits),
            stream_window=self.config.stream_window,
            draining=self.draining,
        )

    def _tenants(self) -> Tenants:
        lifetime = self.config.limits.certificate_lifetime
        return Tenants(self.layout.home, self.database, lifetime)

    def _tenant_admission(self) -> Admission:
        tenants = self._tenants()
        return Admission(
            lambda context: caller(tenants, context).name, self.config.limits.calls_per_tenant
        )


def message_limit(configured: int, versions: Iterable[ModelVersion]) -> int:
    """Bytes of the largest message that is taken: as configured, or more if a row needs it."""
    rows = (found.manifest.circuit.input.length + _ENVELOPE for found in versions)
    return max((configured, *rows))
