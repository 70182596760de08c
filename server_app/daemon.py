"""The daemon: two TLS ports, the workers behind them, and an orderly end.

Ready means that every worker is. A SIGTERM stops accepting, lets accepted rows finish for a bounded
time, ends the workers and then itself; a second one does not wait.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import signal
import sys
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from blindfit.console import say
from blindfit.core_dumps import disable_core_dumps
from server_app.config import Config, load_config
from server_app.database import Database
from server_app.key_collection import KeyCollection, keep_collecting
from server_app.key_records import KeyRecords
from server_app.layout import Layout
from server_app.linking import linkable_folder
from server_app.listening import Listener, allow_many_connections
from server_app.pool import LocalPool
from server_app.ports import Ports
from server_app.runner import Runner
from server_app.running import Running, announce, only_daemon

_COLLECT_EVERY = 60.0  # seconds


def serve_home(
    home: Path,
    listen: str | None,
    enroll_listen: str | None,
    workers: int | None,
    *,
    as_json: bool,
    interceptors: Sequence[Any] = (),
) -> None:
    """Serve until a signal. None keeps what the configuration says; ``interceptors`` are gRPC's.

    Raises `InputError` for a wrong home or configuration, `UnavailableError` if it is served
    already or a port is taken.
    """
    disable_core_dumps()  # it holds the server's TLS key
    config = load_config(home)
    config = replace(
        config,
        listen=listen or config.listen,
        enroll_listen=enroll_listen or config.enroll_listen,
        workers=workers or config.workers,
    )
    layout = Layout.existing(home)
    logging.basicConfig(
        level=logging.INFO, stream=sys.stderr, format="%(asctime)s %(levelname)s %(message)s"
    )
    allow_many_connections()
    with only_daemon(layout):
        asyncio.run(Daemon(layout, config, interceptors).serve(as_json=as_json))


class Daemon:
    """Everything that serves one home."""

    def __init__(self, layout: Layout, config: Config, interceptors: Sequence[Any] = ()):
        self._layout = layout
        self._interceptors = interceptors
        self._config = config
        self._draining = asyncio.Event()
        self._hurry = asyncio.Event()
        self._database = Database.open(layout.database)
        self._records = KeyRecords.open(layout, self._database)
        self._runner: Runner = LocalPool(config, linkable_folder(layout.workers))

    async def serve(self, *, as_json: bool) -> None:
        """Start, tell when ready, and serve until a signal."""
        ports = self._ports()
        main, enrollment = ports.tenants_port(), ports.enrollment_port()
        try:
            await asyncio.gather(main.start(), enrollment.start())
            say(f"starting {self._config.worker_count} workers")
            await self._runner.start()
            await main.set_serving(True)
            await enrollment.set_serving(True)
            running = Running(os.getpid(), main.address, enrollment.address)
            announce(self._layout, running)
            _tell_ready(self._layout.home, running, as_json=as_json)
            collection = KeyCollection(self._records, self._config.limits)
            collecting = asyncio.create_task(keep_collecting(collection, _COLLECT_EVERY))
            await self._signal()
            collecting.cancel()
            await self._drain(main, enrollment)
        finally:
            await self._runner.close()
            await asyncio.gather(main.stop(0), enrollment.stop(0))
            self._database.close()
        say("ended")

    def _ports(self) -> Ports:
        return Ports(
            self._layout,
            self._config,
            self._database,
            self._records,
            self._runner,
            self._draining,
            self._interceptors,
        )

    async def _signal(self) -> None:
        loop = asyncio.get_running_loop()
        first = asyncio.Event()

        def received() -> None:
            (self._hurry if first.is_set() else first).set()

        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, received)
        await first.wait()

    async def _drain(self, main: Listener, enrollment: Listener) -> None:
        seconds = self._config.limits.drain_timeout
        stats = self._runner.stats()
        say(f"draining {stats.running + stats.waiting} rows for up to {seconds:.0f} s")
        await main.set_serving(False)
        await enrollment.set_serving(False)
        self._draining.set()
        stopping = [asyncio.create_task(listener.stop(seconds)) for listener in (main, enrollment)]
        hurry = asyncio.create_task(self._hurry.wait())
        stopped = asyncio.create_task(asyncio.wait(stopping))
        await asyncio.wait({stopped, hurry}, return_when=asyncio.FIRST_COMPLETED)
        hurry.cancel()


def _tell_ready(home: Path, running: Running, *, as_json: bool) -> None:
    say(
        f"serving {home} on {running.address} (enrollment on {running.enroll_address}), "
        f"pid {running.pid}"
    )
    if as_json:
        print(json.dumps({"event": "ready", **asdict(running)}), flush=True)
