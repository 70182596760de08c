"""The SuperLink's control: admitting participants and starting the run.

``flwr supernode register`` and ``flwr run`` do the same, at two seconds of start-up for each key;
so many participants would connect before they are admitted. This uses the client below these
commands, which is not a documented interface of Flower: ``flwr`` is pinned to one minor version.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Self

import httpx
from cryptography.hazmat.primitives.serialization import load_ssh_public_key
from flwr.cli.build import build_fab_from_disk
from flwr.common.constant import Status
from flwr.common.serde import fab_to_proto
from flwr.proto.control_pb2 import ListRunsRequest, RegisterNodeRequest, StartRunRequest
from flwr.supercore.control import ControlHttpClient
from flwr.supercore.fab import Fab
from flwr.supercore.primitives.asymmetric import public_key_to_bytes

from blindfit.errors import TrainingError

APP_FOLDER = Path(__file__).parent / "flower_app"


def build_app() -> bytes:
    """The Flower app (FAB) that participants accept, the same bytes every time."""
    app: bytes = build_fab_from_disk(APP_FOLDER)
    return app


class Control:
    """A connection to a SuperLink's control at ``address`` with the authority ``ca``."""

    def __init__(self, address: str, ca: Path) -> None:
        self._client = ControlHttpClient.from_server_address(
            address, insecure=False, root_certificates=ca.read_bytes(), interceptors=[]
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_raised: object) -> None:
        self._client.close()

    def register(self, name: str, public_key: str) -> int:
        """Admit a participant by its P-384 public key (OpenSSH); returns its node id."""
        key = public_key_to_bytes(load_ssh_public_key(public_key.encode()))
        try:
            reply = self._client.RegisterNode(RegisterNodeRequest(public_key=key, name=name))
        except httpx.HTTPError as error:
            raise TrainingError(f"the SuperLink does not admit {name}: {error}") from error
        return int(reply.node_id)

    def start_run(self) -> int:
        """Start the app that is shipped with Blindfit; returns the run's id."""
        app = build_app()
        fab = Fab(hashlib.sha256(app).hexdigest(), app, {})
        try:
            reply = self._client.StartRun(StartRunRequest(fab=fab_to_proto(fab)))
        except httpx.HTTPError as error:
            raise TrainingError(f"the SuperLink does not start the run: {error}") from error
        return int(reply.run_id)

    def has_ended(self, run_id: int) -> bool:
        """Whether the run's ServerApp is no more, for whatever reason; False if nobody answers."""
        try:
            reply = self._client.ListRuns(ListRunsRequest(run_id=run_id))
        except httpx.HTTPError:
            return False
        return any(run.status.status == Status.FINISHED for run in reply.run_dict.values())
