"""What a tenant sees of the registry: models that it was granted, as if there were no others."""

from __future__ import annotations

from blindfit.errors import InputError
from blindfit.frame import Frame
from blindfit.wire_types import ModelSummary
from server_app.registry import ModelVersion, Registry, unknown_model
from server_app.tenants import Tenant


class Catalogue:
    """The served versions, tenant by tenant."""

    def __init__(self, registry: Registry):
        self._registry = registry

    def open(self, tenant: Tenant, model: str, version: int | None) -> ModelVersion:
        """A served version that the tenant may use (None: the current one).

        Raises `UnknownModelError`, with one text for what is absent and what is not granted.
        """
        if not tenant.may_use(model):
            raise unknown_model(model, version)
        return self._registry.open(model, version)

    def summaries(self, tenant: Tenant) -> list[ModelSummary]:
        """The lines of the tenant's list of models."""
        return [
            ModelSummary(
                model=found.model,
                version=found.version,
                current=self._registry.serving(found.model).current == found.version,
                estimator=found.manifest.estimator,
                params_id=found.manifest.circuit.params_id,
                created=found.manifest.created,
            )
            for found in self._served(tenant)
        ]

    def key_frame(self, tenant: Tenant, params_id: str) -> Frame:
        """The frame of evaluation keys with these parameters; raises `InputError` if no model that
        the tenant may use has them.
        """
        for found in self._served(tenant):
            if found.manifest.circuit.params_id == params_id:
                return found.manifest.circuit.evaluation_keys
        raise InputError(
            "no model has these crypto parameters",
            hint="create keys for a model that is served: `blindfit-keys create --model MODEL`",
        )

    def _served(self, tenant: Tenant) -> list[ModelVersion]:
        return [
            found
            for found in self._registry.versions()
            if tenant.may_use(found.model)
            and found.version not in self._registry.serving(found.model).retired
        ]
