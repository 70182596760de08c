"""Where a worker process begins. The daemon imports this module, so it must stay light."""

from __future__ import annotations

from dataclasses import dataclass
from multiprocessing.connection import Connection


@dataclass(frozen=True)
class WorkerSettings:
    """What a worker is told once: its scratch folder, and how much it may keep."""

    scratch: str
    circuits: int
    key_bytes: int


def worker_main(connection: Connection, settings: WorkerSettings) -> None:
    """Serve jobs until the pipe closes. Concrete is there already, from the forkserver."""
    from server_app.worker import serve_jobs
    from server_app.worker_process_setup import set_up_worker

    set_up_worker(settings.scratch)
    serve_jobs(connection, settings)
