"""One encrypted row: who asks, with which model and key, is the ciphertext sound; then run it."""

from __future__ import annotations

import asyncio
from collections import defaultdict

from blindfit.bundle import SERVER_ZIP
from blindfit.errors import InputError, LimitError
from blindfit.wire_types import PredictCall, PredictReply
from server_app.catalogue import Catalogue
from server_app.config import Limits
from server_app.evaluation_keys import EvaluationKeys
from server_app.registry import ModelVersion
from server_app.runner import CircuitRef, Runner
from server_app.tenants import Tenant


class Inference:
    """Checks requests and has them run."""

    def __init__(self, catalogue: Catalogue, keys: EvaluationKeys, runner: Runner, limits: Limits):
        self._catalogue = catalogue
        self._keys = keys
        self._runner = runner
        self._limits = limits
        self._in_flight: dict[str, asyncio.Semaphore] = defaultdict(
            lambda: asyncio.Semaphore(limits.requests_in_flight)
        )

    async def predict(self, tenant: Tenant, call: PredictCall, *, wait: bool) -> PredictReply:
        """The encrypted result of one row.

        ``wait`` tells what happens when the tenant has too many rows in flight: wait for one of
        them, or raise `LimitError`. Everything about model, key and ciphertext is checked before a
        worker sees a byte of it.
        """
        self.check_request_id(call.request_id)
        version = self._catalogue.open(tenant, call.model, call.version)
        circuit = version.manifest.circuit
        key = self._keys.usable(tenant.name, call.key_id, circuit.params_id, prove=call.prove)
        circuit.input.check(call.ciphertext)
        slots = self._in_flight[tenant.name]
        if slots.locked() and not wait:
            raise LimitError(
                f"{self._limits.requests_in_flight} rows of this tenant are in flight already",
                hint="wait for some of them, or send the rows over one stream",
            )
        async with slots:
            result = await self._runner.run(
                _circuit(version), key, call.ciphertext, owner=tenant.name
            )
        return PredictReply(
            call.request_id,
            call.model,
            call.version,
            call.key_id,
            result.ciphertext,
            result.seconds,
        )

    def check_request_id(self, request_id: str) -> None:
        """Raise `InputError` for a missing or overlong one."""
        if not 0 < len(request_id) <= self._limits.max_request_id:
            raise InputError(
                f"a request_id has 1 to {self._limits.max_request_id} characters, "
                f"not {len(request_id)}"
            )


def _circuit(version: ModelVersion) -> CircuitRef:
    manifest = version.manifest
    return CircuitRef(
        folder=version.folder,
        sha256=manifest.files[SERVER_ZIP].sha256,
        bootstraps=manifest.circuit.programmable_bootstraps,
        output_size=manifest.circuit.output_size,
    )
