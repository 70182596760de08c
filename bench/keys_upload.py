"""Uploading evaluation keys: how fast, with how much of the server's memory, what a cut costs."""

from __future__ import annotations

import hashlib
import os
import random
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc

from bench.cut_connection import CuttingProxy, cutting
from bench.hand_made import PARAMS, honest, publish
from bench.key_server import KeyServer, Person, enroll, new_home, serving
from blindfit.channel import ServerChannel
from blindfit.errors import IntegrityError
from blindfit.key_id import compute_key_id

KEY_BYTES = 60 << 20  # of a decision tree's evaluation keys
_READ = 1 << 20


@dataclass(frozen=True)
class UploadRate:
    """Medians in MB/s: an upload from Begin to Commit, and the same bytes hashed to a file."""

    rate: float
    to_file: float
    times: int


@dataclass(frozen=True)
class UploadMemory:
    """How much the server's resident memory grew at its peak, beside the key; bytes."""

    growth: int
    key: int


@dataclass
class Setting:
    """A server without workers, one tenant of it, and a key that fits."""

    folder: Path
    server: KeyServer
    person: Person
    content: bytes

    def upload(self, channel: ServerChannel) -> str:
        """Upload the bytes under a new salt; returns their key_id."""
        salt = os.urandom(16)
        key_id = compute_key_id(salt, self.content)
        status = channel.upload_key(key_id, PARAMS, salt, self.content)
        stored = self.folder / "home" / "evaluation_keys" / self.person.name / f"{key_id}.keys"
        with stored.open("rb") as file:
            whole = hashlib.file_digest(file, lambda: hashlib.sha256(salt)).hexdigest()
        if status.state != "STAGED" or whole != key_id:
            raise IntegrityError("the server has other bytes than were uploaded")
        return key_id

    def channel(
        self, interceptor: Any, address: str | None = None
    ) -> tuple[grpc.Channel, ServerChannel]:
        """A channel of the tenant whose calls pass through ``interceptor``."""
        person = self.person
        credentials = grpc.ssl_channel_credentials(person.ca, person.key, person.certificate)
        options = [("grpc.initial_reconnect_backoff_ms", 100)]
        channel = grpc.secure_channel(address or self.server.address, credentials, options=options)
        return channel, ServerChannel(grpc.intercept_channel(channel, interceptor))


def measure_rate(work: Path, size: int = KEY_BYTES, times: int = 7) -> UploadRate:
    """Uploads over TLS on loopback, each in turn with its baseline, after one to warm up."""
    rates: list[float] = []
    baselines: list[float] = []
    with _setting(work, size) as setting:
        watch = _BeginToCommit()
        _, channel = setting.channel(watch)
        for count in range(times + 1):
            key_id = setting.upload(channel)
            baseline = _seconds(lambda: _write_file(setting))
            channel.revoke_key(key_id)
            if count:
                rates.append(size / watch.seconds / 1e6)
                baselines.append(size / baseline / 1e6)
        channel.close()
    return UploadRate(statistics.median(rates), statistics.median(baselines), times)


def measure_memory(work: Path, size: int = KEY_BYTES) -> UploadMemory:
    """The server's peak during one upload, above what it had before it."""
    with (
        _setting(work, size) as setting,
        setting.person.connect(setting.server.address) as channel,
    ):
        channel.list_keys()
        before = _memory(setting.server, "VmRSS")
        setting.upload(channel)
        growth = _memory(setting.server, "VmHWM") - before
    return UploadMemory(growth, size)


def measure_interruptions(
    work: Path, points: int = 10, size: int = KEY_BYTES, seed: int | None = None
) -> list[int]:
    """Bytes of the key that were sent again, for each upload that was cut at a random point."""
    again: list[int] = []
    chosen = random.Random(seed)  # noqa: S311 - where to cut is no secret
    with _setting(work, size) as setting, cutting(setting.server.address) as proxy:
        for _ in range(points):
            again.append(_sent_again(setting, proxy, chosen.randrange(size)))
    return again


def _sent_again(setting: Setting, proxy: CuttingProxy, after: int) -> int:
    counted = _ChunkBytes()
    _, channel = setting.channel(counted, proxy.address)
    channel.list_keys()
    cuts = proxy.cuts
    proxy.arm(after)
    key_id = setting.upload(channel)
    if proxy.cuts != cuts + 1:
        raise IntegrityError("the connection was not cut")
    channel.revoke_key(key_id)
    channel.close()
    return counted.sent - len(setting.content)


class _BeginToCommit(grpc.UnaryUnaryClientInterceptor):  # type: ignore[misc]
    """The seconds between the start of BeginUpload and the end of CommitUpload."""

    def __init__(self) -> None:
        self._began = 0.0
        self.seconds = 0.0

    def intercept_unary_unary(self, continuation: Any, details: Any, request: Any) -> Any:
        if details.method.endswith("/BeginUpload"):
            self._began = time.perf_counter()
        answer = continuation(details, request)
        if details.method.endswith("/CommitUpload"):
            answer.result()
            self.seconds = time.perf_counter() - self._began
        return answer


class _ChunkBytes(grpc.StreamStreamClientInterceptor):  # type: ignore[misc]
    """Counts the bytes of keys that gRPC took to send them."""

    def __init__(self) -> None:
        self.sent = 0

    def intercept_stream_stream(self, continuation: Any, details: Any, requests: Any) -> Any:
        def counted() -> Iterator[Any]:
            for request in requests:
                self.sent += len(request.chunk.data)
                yield request

        return continuation(details, counted())


@contextmanager
def _setting(work: Path, size: int) -> Iterator[Setting]:
    work.mkdir(parents=True, exist_ok=True)
    home = new_home(work / "home")
    publish(home, key_bytes=size)
    person = enroll(home, "clinic")
    with serving(home) as server:
        yield Setting(work, server, person, honest(size))


def _write_file(setting: Setting) -> None:
    digest = hashlib.sha256()
    content = memoryview(setting.content)
    with (setting.folder / "baseline").open("wb") as file:
        for offset in range(0, len(content), _READ):
            piece = content[offset : offset + _READ]
            digest.update(piece)
            file.write(piece)
        file.flush()
        os.fsync(file.fileno())


def _seconds(act: Callable[[], None]) -> float:
    started = time.perf_counter()
    act()
    return time.perf_counter() - started


def _memory(server: KeyServer, field: str) -> int:
    for line in Path(f"/proc/{server.process.pid}/status").read_text().splitlines():
        if line.startswith(f"{field}:"):
            return int(line.split()[1]) << 10
    raise IntegrityError(f"the server's process has no {field}")
