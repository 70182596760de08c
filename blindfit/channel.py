"""The typed gRPC client: TLS with a client certificate, deadlines, retries, chunks."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeVar

import grpc

from blindfit.errors import BlindfitError, BundleError, ResponseMismatchError, UnavailableError
from blindfit.key_id import compute_key_id
from blindfit.status import error_from_detail, error_from_rpc
from blindfit.upload_window import UploadWindow
from blindfit.v1 import (
    certificates_pb2,
    certificates_pb2_grpc,
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
    enrolled_from,
    error_detail_from,
    key_status_from,
    model_summary_from,
    predict_call_to,
    predict_reply_from,
)
from blindfit.wire_types import Enrolled, KeyStatus, ModelSummary, PredictCall, PredictReply

T = TypeVar("T")

MAX_MESSAGE_BYTES = 64 << 20
SHORT = 30.0  # seconds, for calls that only look something up
LONG = 600.0  # seconds, for transfers and computations
_UPLOAD_ATTEMPTS = 6  # without a byte of progress
_UPLOAD_PAUSE = 0.3  # seconds before the second attempt, doubled with each

# Only calls that change nothing, or that say the same when repeated, are retried by gRPC itself.
_RETRIES = """{"methodConfig": [{
  "name": [{"service": "blindfit.v1.Models"},
           {"service": "blindfit.v1.EvaluationKeys", "method": "GetKeyStatus"},
           {"service": "blindfit.v1.EvaluationKeys", "method": "ListKeys"},
           {"service": "blindfit.v1.Inference", "method": "Predict"}],
  "retryPolicy": {"maxAttempts": 4, "initialBackoff": "0.2s", "maxBackoff": "3s",
                  "backoffMultiplier": 2, "retryableStatusCodes": ["UNAVAILABLE"]}}]}"""
_OPTIONS: list[tuple[str, Any]] = [
    ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
    ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
    ("grpc.service_config", _RETRIES),
    ("grpc.keepalive_time_ms", 60_000),
    ("grpc.keepalive_timeout_ms", 20_000),
    # Else calls fail for up to two minutes after a server is there again.
    ("grpc.initial_reconnect_backoff_ms", 200),
    ("grpc.max_reconnect_backoff_ms", 3_000),
]


def enroll(
    address: str, ca_pem: bytes, token: str, csr_pem: bytes, participant_key: str = ""
) -> Enrolled:
    """Exchange an invitation's token and a PKCS #10 request for a client certificate."""
    credentials = grpc.ssl_channel_credentials(root_certificates=ca_pem)
    request = enrollment_pb2.EnrollRequest(
        token=token, csr_pem=csr_pem, participant_key=participant_key
    )
    with grpc.secure_channel(address, credentials, options=_OPTIONS) as channel:
        stub = enrollment_pb2_grpc.EnrollmentStub(channel)
        return enrolled_from(_call(lambda: stub.Enroll(request, timeout=SHORT)))


class ServerChannel:
    """A connection to a server, as one tenant. Every method raises `BlindfitError`."""

    def __init__(self, channel: grpc.Channel):
        self._channel = channel
        self._models = models_pb2_grpc.ModelsStub(channel)
        self._keys = evaluation_keys_pb2_grpc.EvaluationKeysStub(channel)
        self._inference = inference_pb2_grpc.InferenceStub(channel)
        self._certificates = certificates_pb2_grpc.CertificatesStub(channel)

    @classmethod
    def connect(
        cls, address: str, ca_pem: bytes, certificate_pem: bytes, key_pem: bytes
    ) -> ServerChannel:
        """Open a channel to ``host:port``; nothing is sent before the first call."""
        credentials = grpc.ssl_channel_credentials(ca_pem, key_pem, certificate_pem)
        return cls(grpc.secure_channel(address, credentials, options=_OPTIONS))

    def __enter__(self) -> ServerChannel:
        return self

    def __exit__(self, *_raised: object) -> None:
        self.close()

    def close(self) -> None:
        """End the connection."""
        self._channel.close()

    # -- models ----------------------------------------------------------------------------------

    def list_models(self) -> list[ModelSummary]:
        """The model versions that this tenant may use."""
        request = models_pb2.ListModelsRequest()
        reply = _call(lambda: self._models.ListModels(request, timeout=SHORT))
        return [model_summary_from(version) for version in reply.versions]

    def describe_model(self, model: str, version: int | None = None) -> tuple[bytes, bytes]:
        """The signed manifest and its signature; None asks for the current version."""
        request = models_pb2.DescribeModelRequest(model=model, version=version or 0)
        reply = _call(lambda: self._models.DescribeModel(request, timeout=SHORT))
        return reply.manifest, reply.signature

    def download_client_bundle(self, model: str, version: int, size: int) -> bytes:
        """The bytes of ``client.zip``; raises `BundleError` unless they are ``size`` many."""
        request = models_pb2.DownloadClientBundleRequest(model=model, version=version)
        content = bytearray()
        try:
            for chunk in self._models.DownloadClientBundle(request, timeout=LONG):
                if chunk.offset != len(content) or len(content) + len(chunk.data) > size:
                    raise BundleError("the server sent other pieces of client.zip than announced")
                content += chunk.data
        except grpc.RpcError as error:
            raise error_from_rpc(error) from error
        if len(content) != size:
            raise BundleError(f"client.zip ended after {len(content)} of {size} bytes")
        return bytes(content)

    # -- evaluation keys -------------------------------------------------------------------------

    def upload_key(
        self,
        key_id: str,
        params_id: str,
        salt: bytes,
        evaluation_keys: bytes,
        on_progress: Callable[[int], None] | None = None,
    ) -> KeyStatus:
        """Upload evaluation keys until they are STAGED; goes on where a dropped connection ended.

        ``on_progress`` is told how many bytes the server has. Uploading a key that the server has
        already is harmless. Gives up after some attempts without progress (`UnavailableError`).
        """
        if compute_key_id(salt, evaluation_keys) != key_id:
            raise ValueError("key_id is not the SHA-256 of salt and evaluation keys")
        begin = evaluation_keys_pb2.BeginUploadRequest(
            key_id=key_id, params_id=params_id, salt=salt, size=len(evaluation_keys)
        )
        progress = _Progress(on_progress)
        while True:
            try:
                return self._upload_once(begin, evaluation_keys, progress.report)
            except UnavailableError:
                if progress.stalled() == _UPLOAD_ATTEMPTS:
                    raise
                time.sleep(_UPLOAD_PAUSE * 2**progress.attempts)

    def _upload_once(
        self,
        begin: evaluation_keys_pb2.BeginUploadRequest,
        content: bytes,
        report: Callable[[int], None],
    ) -> KeyStatus:
        status = key_status_from(_call(lambda: self._keys.BeginUpload(begin, timeout=SHORT)))
        report(status.received)
        if status.state != "UPLOADING":
            return status
        if status.received > len(content):
            raise ResponseMismatchError("the server claims more of the key than there is")
        if status.received < len(content):
            self._send_key(begin.key_id, content, status.received, report)
        request = evaluation_keys_pb2.KeyRequest(key_id=begin.key_id)
        return key_status_from(_call(lambda: self._keys.CommitUpload(request, timeout=LONG)))

    def _send_key(
        self, key_id: str, content: bytes, start: int, report: Callable[[int], None]
    ) -> None:
        window = UploadWindow(content, start)
        chunks = (
            # From a mapping: protobuf would copy the bytes of a ready Chunk once more.
            evaluation_keys_pb2.UploadChunk(key_id=key_id, chunk={"offset": offset, "data": piece})
            for offset, piece in window
        )
        stream = self._keys.UploadChunks(chunks, timeout=LONG)
        try:
            for progress in stream:
                if progress.received > len(content):
                    raise ResponseMismatchError("the server claims more of the key than there is")
                window.acknowledge(progress.received)
                report(progress.received)
        except grpc.RpcError as error:
            raise error_from_rpc(error) from error
        finally:
            window.close()
            stream.cancel()

    def key_status(self, key_id: str) -> KeyStatus:
        """The state of one of this tenant's keys."""
        request = evaluation_keys_pb2.KeyRequest(key_id=key_id)
        return key_status_from(_call(lambda: self._keys.GetKeyStatus(request, timeout=SHORT)))

    def list_keys(self) -> list[KeyStatus]:
        """All of this tenant's keys that the server knows."""
        request = evaluation_keys_pb2.ListKeysRequest()
        reply = _call(lambda: self._keys.ListKeys(request, timeout=SHORT))
        return [key_status_from(key) for key in reply.keys]

    def activate_key(
        self, key_id: str, replaces: str | None, grace: float | None = None
    ) -> KeyStatus:
        """Make a STAGED key the active one of its parameters, if ``replaces`` is that now.

        The replaced key answers for ``grace`` more seconds, at most (None) as long as the server
        lets it. Repeating the call is harmless.
        """
        request = evaluation_keys_pb2.ActivateKeyRequest(
            key_id=key_id, replaces=replaces or "", grace=grace
        )
        return key_status_from(_call(lambda: self._keys.ActivateKey(request, timeout=SHORT)))

    def revoke_key(self, key_id: str) -> KeyStatus:
        """Refuse a key from now on, for good."""
        request = evaluation_keys_pb2.KeyRequest(key_id=key_id)
        return key_status_from(_call(lambda: self._keys.RevokeKey(request, timeout=SHORT)))

    # -- certificates ----------------------------------------------------------------------------

    def renew_certificate(self, csr_pem: bytes) -> bytes:
        """Another client certificate of this tenant, PEM, for the key of a PKCS #10 request.

        The one in use stays valid until it expires or is revoked.
        """
        request = certificates_pb2.RenewCertificateRequest(csr_pem=csr_pem)
        reply = _call(lambda: self._certificates.RenewCertificate(request, timeout=SHORT))
        certificate: bytes = reply.certificate_pem
        return certificate

    def revoke_certificate(self, fingerprint: str) -> None:
        """Refuse another certificate of this tenant for good; repeating it is harmless.

        ``fingerprint`` is the SHA-256 of its DER, in hex. Raises `NotFoundError` unless it is this
        tenant's, and `InputError` for the one that this connection uses.
        """
        request = certificates_pb2.RevokeCertificateRequest(fingerprint=fingerprint)
        _call(lambda: self._certificates.RevokeCertificate(request, timeout=SHORT))

    # -- inference -------------------------------------------------------------------------------

    def predict(
        self, model: str, version: int, key_id: str, ciphertext: bytes, *, prove: bool = False
    ) -> PredictReply:
        """Run the circuit on one encrypted row; the reply is checked to answer this request."""
        call = PredictCall.create(model, version, key_id, ciphertext, prove=prove)
        request = predict_call_to(call)
        reply = _call(lambda: self._inference.Predict(request, timeout=LONG))
        return _checked_reply(reply, call)

    def predict_stream(
        self, calls: Iterable[PredictCall]
    ) -> Iterator[tuple[PredictCall, PredictReply | BlindfitError]]:
        """Run the circuit on many encrypted rows; answers come in any order, each with its call.

        ``calls`` is read in another thread, as fast as the server takes them. A row that fails
        gives its error and does not end the stream.
        """
        sent: dict[str, PredictCall] = {}

        def requests() -> Iterator[inference_pb2.PredictRequest]:
            for call in calls:
                sent[call.request_id] = call
                yield predict_call_to(call)

        stream = self._inference.PredictStream(requests())
        try:
            for reply in stream:
                call = sent.pop(reply.request_id, None)
                if call is None:
                    raise ResponseMismatchError("the server answered a request that was not made")
                if reply.WhichOneof("result") == "error":
                    yield call, error_from_detail(error_detail_from(reply.error))
                else:
                    yield call, _checked_reply(reply, call)
        except grpc.RpcError as error:
            raise error_from_rpc(error) from error
        finally:
            stream.cancel()


class _Progress:
    """What the server has of a key, and how often it was tried since that has grown."""

    def __init__(self, told: Callable[[int], None] | None):
        self._told = told
        self._received = 0
        self.attempts = 0

    def report(self, received: int) -> None:
        if received > self._received:
            self._received, self.attempts = received, 0
        if self._told:
            self._told(received)

    def stalled(self) -> int:
        self.attempts += 1
        return self.attempts


def _checked_reply(reply: inference_pb2.PredictResponse, call: PredictCall) -> PredictReply:
    """The reply, if it names what was asked for: a wrong key decrypts to a wrong answer."""
    answered = (reply.request_id, reply.model, reply.version, reply.key_id)
    if answered != (call.request_id, call.model, call.version, call.key_id):
        raise ResponseMismatchError("the server answered for another request, model or key")
    return predict_reply_from(reply)


def _call(call: Callable[[], T]) -> T:
    try:
        return call()
    except grpc.RpcError as error:
        raise error_from_rpc(error) from error
