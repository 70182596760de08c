"""An upload whose server says what cannot be."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import grpc
import pytest

from blindfit.channel import ServerChannel
from blindfit.errors import ResponseMismatchError
from blindfit.key_id import compute_key_id
from blindfit.v1 import evaluation_keys_pb2 as pb
from blindfit.v1 import evaluation_keys_pb2_grpc as pb_grpc

CONTENT, SALT = b"x" * 1000, b"s" * 16
KEY_ID = compute_key_id(SALT, CONTENT)


class Boasting(pb_grpc.EvaluationKeysServicer):
    """Has more of the key than there is: at once, or after the first piece."""

    def __init__(self, begun: int, received: int):
        self.begun, self.received = begun, received
        self.calls = []

    def BeginUpload(self, request, context):  # noqa: N802
        self.calls.append("begin")
        return pb.KeyStatus(
            key_id=KEY_ID, state=pb.KEY_STATE_UPLOADING, size=len(CONTENT), received=self.begun
        )

    def UploadChunks(self, requests, context):  # noqa: N802
        self.calls.append("chunks")
        for _ in requests:
            yield pb.UploadProgress(received=self.received)


@pytest.mark.parametrize(
    ("begun", "received", "calls"),
    [(1001, 0, ["begin"]), (0, 1001, ["begin", "chunks"]), (0, 1 << 62, ["begin", "chunks"])],
)
def test_a_server_that_claims_more_than_the_key_is_given_up(begun, received, calls):
    servicer = Boasting(begun, received)
    server = grpc.server(ThreadPoolExecutor(2))
    pb_grpc.add_EvaluationKeysServicer_to_server(servicer, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        channel = ServerChannel(grpc.insecure_channel(f"127.0.0.1:{port}"))
        refused = pytest.raises(ResponseMismatchError, match="more of the key than there is")
        with channel, refused:
            channel.upload_key(KEY_ID, "0" * 64, SALT, CONTENT)
    finally:
        server.stop(0)
    assert servicer.calls == calls
