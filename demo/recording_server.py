"""The daemon, unchanged, with an interceptor that keeps every request for the demo to search.

    python -m demo.recording_server RECORD --home HOME ...

RECORD grows by the serialized request of every call, exactly as it came off the wire.
"""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import grpc


class Recorder(grpc.aio.ServerInterceptor):  # type: ignore[type-arg]  # no generic at run time
    """Copies the bytes that a request is deserialized from to a file."""

    def __init__(self, path: Path):
        self._file = path.open("ab", buffering=0)

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Any]],
        details: grpc.HandlerCallDetails,
    ) -> Any:
        """Wrap the deserializer of the method that is called."""
        handler: Any = await continuation(details)
        if handler is None or handler.request_deserializer is None:
            return handler
        return handler._replace(request_deserializer=self._recording(handler.request_deserializer))

    def _recording(self, deserialize: Callable[[bytes], Any]) -> Callable[[bytes], Any]:
        def record(content: bytes) -> Any:
            self._file.write(content)
            return deserialize(content)

        return record


def main(record: str, *arguments: str) -> None:
    """``blindfit-server serve`` with the interceptor."""
    import argparse

    from server_app.daemon import serve_home

    parser = argparse.ArgumentParser()
    parser.add_argument("--home", type=Path, required=True)
    parser.add_argument("--listen")
    parser.add_argument("--enroll-listen")
    parser.add_argument("--workers", type=int)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args(arguments)
    serve_home(
        options.home,
        options.listen,
        options.enroll_listen,
        options.workers,
        as_json=options.json,
        interceptors=[Recorder(Path(record))],
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
