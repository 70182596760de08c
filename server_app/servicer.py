"""The gRPC handlers: protobuf in, a call of the service, protobuf out.

The only module of the server that knows the generated stubs.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from functools import partial
from typing import Any

from blindfit.bundle import CLIENT_ZIP, checked_file
from blindfit.errors import BlindfitError, InputError
from blindfit.v1 import (
    certificates_pb2,
    certificates_pb2_grpc,
    common_pb2,
    enrollment_pb2,
    enrollment_pb2_grpc,
    evaluation_keys_pb2,
    evaluation_keys_pb2_grpc,
    inference_pb2,
    inference_pb2_grpc,
    models_pb2,
    models_pb2_grpc,
)
from blindfit.wire import (
    enrolled_to,
    failed_reply_to,
    key_status_to,
    model_summary_to,
    predict_call_from,
    predict_reply_to,
)
from blindfit.wire_types import Enrolled
from server_app.answering import (
    Note,
    answering,
    caller,
    internal_error,
    presented_fingerprint,
)
from server_app.catalogue import Catalogue
from server_app.certificates import Certificates
from server_app.evaluation_keys import EvaluationKeys
from server_app.inference import Inference
from server_app.key_activation import KeyActivation
from server_app.key_uploads import Announcement, KeyUploads
from server_app.open_uploads import OpenUploads
from server_app.row_stream import answer_stream
from server_app.tenants import Tenant, Tenants

_CHUNK = 1 << 20  # bytes
ENROLLMENT = enrollment_pb2.DESCRIPTOR.services_by_name["Enrollment"].full_name
TENANT_SERVICES = (
    models_pb2.DESCRIPTOR.services_by_name["Models"].full_name,
    evaluation_keys_pb2.DESCRIPTOR.services_by_name["EvaluationKeys"].full_name,
    certificates_pb2.DESCRIPTOR.services_by_name["Certificates"].full_name,
    inference_pb2.DESCRIPTOR.services_by_name["Inference"].full_name,
)


@dataclass(frozen=True)
class Services:
    """What the handlers call."""

    tenants: Tenants
    certificates: Certificates
    catalogue: Catalogue
    uploads: KeyUploads
    open_uploads: OpenUploads
    keys: EvaluationKeys
    activation: KeyActivation
    inference: Inference
    stream_window: int
    draining: asyncio.Event


def add_enrollment(tenants: Tenants, server: Any) -> None:
    """Serve enrollment, on the port without client certificates."""
    enrollment_pb2_grpc.add_EnrollmentServicer_to_server(_Enrollment(tenants), server)


def add_tenant_services(services: Services, server: Any) -> None:
    """Serve all that is for tenants, on the port with client certificates."""
    models_pb2_grpc.add_ModelsServicer_to_server(_Models(services), server)
    evaluation_keys_pb2_grpc.add_EvaluationKeysServicer_to_server(_Keys(services), server)
    certificates_pb2_grpc.add_CertificatesServicer_to_server(_Certificates(services), server)
    inference_pb2_grpc.add_InferenceServicer_to_server(_Inference(services), server)


class _Enrollment:
    def __init__(self, tenants: Tenants):
        self._tenants = tenants

    async def Enroll(self, request: Any, context: Any) -> Any:  # noqa: N802
        async with answering(context, "Enroll") as note:
            enroll = self._tenants.enroll
            name, certificate = await asyncio.to_thread(
                enroll, request.token, request.csr_pem, request.participant_key
            )
            note.tenant = name
            return enrolled_to(Enrolled(name, certificate))


class _TenantServicer:
    def __init__(self, services: Services):
        self._services = services

    def _caller(self, context: Any, note: Note) -> Tenant:
        tenant = caller(self._services.tenants, context)
        note.tenant = tenant.name
        return tenant


class _Models(_TenantServicer):
    async def ListModels(self, _request: Any, context: Any) -> Any:  # noqa: N802
        async with answering(context, "ListModels") as note:
            tenant = self._caller(context, note)
            lines = await asyncio.to_thread(self._services.catalogue.summaries, tenant)
            return models_pb2.ListModelsResponse(versions=map(model_summary_to, lines))

    async def DescribeModel(self, request: Any, context: Any) -> Any:  # noqa: N802
        async with answering(context, "DescribeModel") as note:
            tenant = self._caller(context, note)
            version = request.version or None
            found = await asyncio.to_thread(
                self._services.catalogue.open, tenant, request.model, version
            )
            note.model = found.model
            return models_pb2.DescribeModelResponse(
                manifest=found.manifest_bytes, signature=found.signature
            )

    async def DownloadClientBundle(  # noqa: N802
        self, request: Any, context: Any
    ) -> AsyncIterator[Any]:
        async with answering(context, "DownloadClientBundle") as note:
            tenant = self._caller(context, note)
            found = self._services.catalogue.open(tenant, request.model, request.version)
            note.model = found.model
            content = await asyncio.to_thread(
                checked_file, found.folder, CLIENT_ZIP, found.manifest
            )
            for offset in range(0, len(content), _CHUNK):
                yield common_pb2.Chunk(offset=offset, data=content[offset : offset + _CHUNK])


class _Keys(_TenantServicer):
    async def BeginUpload(self, request: Any, context: Any) -> Any:  # noqa: N802
        async with answering(context, "BeginUpload") as note:
            tenant = self._caller(context, note)
            frame = self._services.catalogue.key_frame(tenant, request.params_id)
            announced = Announcement(request.key_id, request.params_id, request.salt, request.size)
            status = await asyncio.to_thread(
                self._services.uploads.begin, tenant.name, announced, frame
            )
            return key_status_to(status)

    async def UploadChunks(  # noqa: N802
        self, requests: AsyncIterator[Any], context: Any
    ) -> AsyncIterator[Any]:
        async with answering(context, "UploadChunks") as note:
            # Asked once: who is revoked meanwhile fills up what was reserved, but cannot commit.
            tenant, uploads, upload = self._caller(context, note), self._services.uploads, None
            with self._services.open_uploads.one_more(tenant.name):
                async for request in requests:
                    if upload is None:
                        upload = await asyncio.to_thread(
                            uploads.resume, tenant.name, request.key_id
                        )
                    received = await asyncio.to_thread(
                        uploads.write, upload, request.chunk.offset, request.chunk.data
                    )
                    yield evaluation_keys_pb2.UploadProgress(received=received)
            if upload is None:
                raise InputError("the first message of an upload names the key")

    async def CommitUpload(self, request: Any, context: Any) -> Any:  # noqa: N802
        async with answering(context, "CommitUpload") as note:
            tenant = self._caller(context, note)
            frame_of = partial(self._services.catalogue.key_frame, tenant)
            status = await asyncio.to_thread(
                self._services.uploads.commit, tenant.name, request.key_id, frame_of
            )
            return key_status_to(status)

    async def GetKeyStatus(self, request: Any, context: Any) -> Any:  # noqa: N802
        async with answering(context, "GetKeyStatus") as note:
            tenant = self._caller(context, note)
            return key_status_to(self._services.keys.status(tenant.name, request.key_id))

    async def ListKeys(self, _request: Any, context: Any) -> Any:  # noqa: N802
        async with answering(context, "ListKeys") as note:
            tenant = self._caller(context, note)
            found = await asyncio.to_thread(self._services.keys.of_tenant, tenant.name)
            return evaluation_keys_pb2.ListKeysResponse(keys=map(key_status_to, found))

    async def ActivateKey(self, request: Any, context: Any) -> Any:  # noqa: N802
        async with answering(context, "ActivateKey") as note:
            tenant = self._caller(context, note)
            status = await asyncio.to_thread(
                self._services.activation.activate,
                tenant.name,
                request.key_id,
                request.replaces,
                request.grace if request.HasField("grace") else None,
            )
            return key_status_to(status)

    async def RevokeKey(self, request: Any, context: Any) -> Any:  # noqa: N802
        async with answering(context, "RevokeKey") as note:
            tenant = self._caller(context, note)
            status = await asyncio.to_thread(
                self._services.keys.revoke, tenant.name, request.key_id
            )
            return key_status_to(status)


class _Certificates(_TenantServicer):
    async def RenewCertificate(self, request: Any, context: Any) -> Any:  # noqa: N802
        async with answering(context, "RenewCertificate") as note:
            tenant, own = self._caller(context, note), presented_fingerprint(context)
            renew = self._services.certificates.renew
            certificate = await asyncio.to_thread(renew, tenant.name, own, request.csr_pem)
            return certificates_pb2.RenewCertificateResponse(certificate_pem=certificate)

    async def RevokeCertificate(self, request: Any, context: Any) -> Any:  # noqa: N802
        async with answering(context, "RevokeCertificate") as note:
            tenant, own = self._caller(context, note), presented_fingerprint(context)
            revoke = self._services.certificates.revoke
            await asyncio.to_thread(revoke, tenant.name, own, request.fingerprint)
            return certificates_pb2.RevokeCertificateResponse()


class _Inference(_TenantServicer):
    async def Predict(self, request: Any, context: Any) -> Any:  # noqa: N802
        async with answering(context, "Predict") as note:
            tenant = self._caller(context, note)
            call = predict_call_from(request)
            reply = await self._services.inference.predict(tenant, call, wait=False)
            note.model = call.model
            return predict_reply_to(reply)

    async def PredictStream(  # noqa: N802
        self, requests: AsyncIterator[Any], context: Any
    ) -> AsyncIterator[Any]:
        async with answering(context, "PredictStream") as note:
            self._caller(context, note)
            rows = failed = 0
            services = self._services
            answers = answer_stream(
                requests,
                lambda request: self._row(request, context, note),
                services.stream_window,
                services.draining,
            )
            async for reply in answers:
                rows += 1
                failed += reply.WhichOneof("result") == "error"
                note.rows = f" rows={rows} failed={failed}"
                yield reply

    async def _row(self, request: Any, context: Any, note: Note) -> Any:
        """The answer to one row of a stream, or its error in place of it."""
        call = predict_call_from(request)
        self._services.inference.check_request_id(call.request_id)
        try:
            # Asked for every row: who was revoked gets no more answers on an open stream.
            tenant = self._caller(context, note)
            reply = await self._services.inference.predict(tenant, call, wait=True)
            note.model = call.model
            return predict_reply_to(reply)
        except BlindfitError as error:
            return failed_reply_to(call, error)
        except Exception as error:  # noqa: BLE001 - one row must not end the others
            return failed_reply_to(call, internal_error(error))
