"""A listening port: who is let in, how much one may hold, and for how long."""

from __future__ import annotations

import asyncio
import resource
from contextlib import asynccontextmanager

import grpc
import pytest
from cryptography.hazmat.primitives import serialization
from fixtures_server import frame_of, open_tenants, publish
from grpc import StatusCode, aio
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from keys.identity import new_identity_request
from server_app import admission, listening
from server_app.admission import Admission
from server_app.answering import caller
from server_app.home import create_home
from server_app.invitations import invite
from server_app.layout import Layout
from server_app.listening import Listener, allow_many_connections
from server_app.ports import message_limit
from server_app.registry import Registry

CHECK = "/grpc.health.v1.Health/Check"
ASK = health_pb2.HealthCheckRequest()
LIST = reflection_pb2.ServerReflectionRequest(list_services="")


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    folder = tmp_path_factory.mktemp("listening") / "home"
    create_home(folder, [])
    return folder


@pytest.fixture(scope="module")
def people(home):
    """The credentials of three tenants, of whom the last was revoked."""
    found = []
    for name in ("clinic", "rival", "leaver"):
        key, request = new_identity_request(name)
        _, certificate = open_tenants(home).enroll(invite(home, name).token, request, "")
        secret = key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        ca = Layout(home).ca_certificate.read_bytes()
        found.append(grpc.ssl_channel_credentials(ca, secret, certificate))
    open_tenants(home).revoke("leaver")
    return found


@asynccontextmanager
async def listener(home, calls=10):
    tenants = open_tenants(home)
    guard = Admission(lambda context: caller(tenants, context).name, calls)
    port = Listener(
        "127.0.0.1:0",
        Layout(home),
        1 << 20,
        (),
        client_certificates=True,
        max_calls=100,
        interceptors=(guard,),
    )
    await port.start()
    try:
        yield port
    finally:
        await port.stop(0)


def connect(port, credentials):
    return aio.secure_channel(port.address, credentials)


async def code_of(call):
    async with asyncio.timeout(5):
        return await call.code()


def reflect(channel):
    return reflection_pb2_grpc.ServerReflectionStub(channel).ServerReflectionInfo()


async def healthy(channel):
    reply = await health_pb2_grpc.HealthStub(channel).Check(ASK, timeout=5)
    return reply.status == health_pb2.HealthCheckResponse.NOT_SERVING  # not told otherwise yet


def test_tenants_may_ask_for_health_and_services(home, people):
    async def scenario():
        async with listener(home) as port, connect(port, people[0]) as channel:
            assert await healthy(channel)
            stream = reflect(channel)
            await stream.write(LIST)
            assert (await stream.read()).HasField("list_services_response")
            await stream.done_writing()
            assert await code_of(stream) == StatusCode.OK

    asyncio.run(scenario())


def test_a_revoked_tenant_holds_no_call_of_any_kind_even_without_a_message(home, people):
    async def scenario():
        async with listener(home) as port, connect(port, people[2]) as channel:
            for call in (
                channel.stream_unary(CHECK)(),  # sends no message, and does not say so
                health_pb2_grpc.HealthStub(channel).Check(ASK),
                health_pb2_grpc.HealthStub(channel).Watch(ASK),
                reflect(channel),
            ):
                assert await code_of(call) == StatusCode.PERMISSION_DENIED

    asyncio.run(scenario())


def test_open_calls_are_bounded_for_each_tenant_alone(home, people):
    async def scenario():
        async with (
            listener(home, calls=2) as port,
            connect(port, people[0]) as own,
            connect(port, people[1]) as other,
        ):
            held = [await asked(own) for _ in range(2)]
            with pytest.raises(grpc.RpcError) as error:
                await healthy(own)
            assert error.value.code() == StatusCode.RESOURCE_EXHAUSTED
            assert "2 calls" in error.value.details()
            assert await healthy(other)
            await held[0].done_writing()
            assert await code_of(held[0]) == StatusCode.OK
            assert await healthy(own)

    asyncio.run(scenario())


async def asked(channel):
    """A reflection stream that stays open, and that the server has begun to answer."""
    stream = reflect(channel)
    await stream.write(LIST)
    await stream.read()
    return stream


def test_health_cannot_be_watched(home, people):
    async def scenario():
        async with listener(home) as port, connect(port, people[0]) as channel:
            call = health_pb2_grpc.HealthStub(channel).Watch(ASK)
            assert await code_of(call) == StatusCode.UNIMPLEMENTED

    asyncio.run(scenario())


def test_calls_that_only_wait_are_ended(home, people, monkeypatch):
    monkeypatch.setattr(admission, "_SIDE_SECONDS", 0.3)

    async def scenario():
        async with listener(home) as port, connect(port, people[0]) as channel:
            stream = await asked(channel)
            silent = channel.stream_unary(CHECK)()
            assert await code_of(stream) == StatusCode.UNAVAILABLE
            assert await code_of(silent) == StatusCode.UNAVAILABLE
            assert await healthy(channel)

    asyncio.run(scenario())


def test_a_call_whose_message_does_not_come_is_ended(home, people, monkeypatch):
    monkeypatch.setattr(admission, "_REQUEST_SECONDS", 0.3)

    async def scenario():
        async with listener(home) as port, connect(port, people[0]) as channel:
            assert await code_of(channel.stream_unary(CHECK)()) == StatusCode.UNAVAILABLE
            empty = channel.stream_unary(CHECK)(iter(()))
            assert await code_of(empty) == StatusCode.INVALID_ARGUMENT

    asyncio.run(scenario())


def test_a_connection_that_says_nothing_is_closed(home, monkeypatch):
    monkeypatch.setattr(listening, "_HANDSHAKE_MILLISECONDS", 300)

    async def scenario():
        async with listener(home) as port:
            host, _, number = port.address.rpartition(":")
            reader, writer = await asyncio.open_connection(host, int(number))
            async with asyncio.timeout(5):
                await reader.read()
            assert reader.at_eof()
            writer.close()

    asyncio.run(scenario())


def test_the_daemon_may_open_as_many_files_as_the_system_allows():
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(512, hard), hard))
    try:
        allow_many_connections()
        assert resource.getrlimit(resource.RLIMIT_NOFILE) == (hard, hard)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_a_message_may_be_as_large_as_the_largest_row_that_is_served(home):
    publish(home)
    (found,) = Registry(home).versions()
    assert message_limit(4 << 20, []) == 4 << 20
    assert message_limit(4 << 20, [found]) == 4 << 20
    circuit = found.manifest.circuit.model_copy(
        update={"input": frame_of().model_copy(update={"length": 9 << 20})}
    )
    large = type(found)(
        found.folder,
        found.manifest.model_copy(update={"circuit": circuit}),
        found.manifest_bytes,
        found.signature,
    )
    assert message_limit(4 << 20, [found, large]) == (9 << 20) + (64 << 10)


def test_a_message_above_the_limit_is_refused(home, people):
    async def scenario():
        async with listener(home) as port, connect(port, people[0]) as channel:
            large = health_pb2.HealthCheckRequest(service="x" * (1 << 20))
            call = health_pb2_grpc.HealthStub(channel).Check(large)
            assert await code_of(call) == StatusCode.RESOURCE_EXHAUSTED

    asyncio.run(scenario())
