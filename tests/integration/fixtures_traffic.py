"""A Flower app that sends a large array to a node and back, for which all fleet calls occur."""

from __future__ import annotations

import hashlib
import json
import time
from pathlib import Path
from typing import Any

from flwr.app import ArrayRecord, Context, Message, RecordDict
from flwr.cli.build import build_fab_from_disk
from flwr.clientapp import ClientApp
from flwr.common.serde import fab_to_proto
from flwr.proto.control_pb2 import ListNodesRequest, StartRunRequest
from flwr.supercore.control import ControlHttpClient
from flwr.supercore.fab import Fab

_PROJECT = """
[project]
name = "traffic"
version = "1.0.0"
license = { text = "Apache-2.0" }
[tool.flwr.app]
publisher = "blindfit"
[tool.flwr.app.components]
serverapp = "traffic:server"
clientapp = "traffic:client"
[tool.flwr.app.config]
"""
_APP = """
import json, os, pathlib, time
import numpy as np
from flwr.app import ArrayRecord, Message, RecordDict
from flwr.serverapp import ServerApp
from server_app.inline_grid import InlineGrid

server, client = ServerApp(), None

@server.main()
def main(grid, context):
    grid = InlineGrid(grid)
    while not (nodes := list(grid.get_node_ids())):
        time.sleep(0.2)
    array = np.random.default_rng(0).random(SIZE)
    content = RecordDict({"large": ArrayRecord([array])})
    (reply,) = grid.send_and_receive([Message(content, nodes[0], "query")], timeout=60)
    (got,) = reply.content["large"].to_numpy_ndarrays()
    result = {"bytes": got.nbytes, "right": bool((got == array * 2).all())}
    folder = pathlib.Path(os.environ["BLINDFIT_RUN_FOLDER"])
    (folder / "part").write_text(json.dumps(result))
    (folder / "part").rename(folder / "traffic.json")
"""
# A participant's side: what Blindfit's SuperNode runs is installed, and not what the app ships.
doubling = ClientApp()


@doubling.query()
def _double(message: Message, context: Context) -> Message:
    del context
    (array,) = message.content["large"].to_numpy_ndarrays()
    return Message(RecordDict({"large": ArrayRecord([array * 2])}), reply_to=message)


def control_client(address: str, ca: Path) -> Any:
    """The operator's side of a SuperLink, which has no accounts: whoever reaches it."""
    return ControlHttpClient.from_server_address(
        address, insecure=False, root_certificates=ca.read_bytes(), interceptors=[]
    )


def online(client: Any) -> list[str]:
    """The names of the nodes that are online."""
    nodes = client.ListNodes(ListNodesRequest()).nodes_info
    return [node.name for node in nodes if node.status == "online"]


def traffic_app(folder: Path, size: int) -> Fab:
    """An app that sends ``size`` float64 both ways, with the one node that is online."""
    folder.mkdir()
    (folder / "pyproject.toml").write_text(_PROJECT)
    (folder / "traffic.py").write_text(_APP.replace("SIZE", str(size)))
    content = build_fab_from_disk(folder)
    return Fab(hashlib.sha256(content).hexdigest(), content, {})


def start_traffic(client: Any, app: Fab) -> None:
    """Start a run of the app."""
    client.StartRun(StartRunRequest(fab=fab_to_proto(app)))


def wait_for_traffic(run_folder: Path, seconds: float) -> dict[str, Any]:
    """What the run found when its array came back."""
    deadline = time.monotonic() + seconds
    while not (run_folder / "traffic.json").exists():
        assert time.monotonic() < deadline, (run_folder / "superlink.log").read_text()[-4000:]
        time.sleep(0.2)
    return dict(json.loads((run_folder / "traffic.json").read_text()))
