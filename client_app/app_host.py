"""The process that trains on a participant's rows: ``python -m client_app.app_host``.

It gets its task on standard input, one JSON document. It has the rows and the participant's signing
key, and it handles what the coordinator sends; so it is confined to the files it needs before it
looks at any of that. It cannot read the client's FHE keys.
"""

from __future__ import annotations

import json
import sys
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from blindfit.flower_process import sigterm_as_interrupt

_LOOPBACK = "127.0.0.1"


@dataclass(frozen=True)
class HostTask:
    """What `client_app.node` hands over; paths are text.

    ``identity`` is the participant's private key in OpenSSH's form; ``memory`` and ``budget`` are a
    file and a folder of the home that are kept between runs; ``port`` of this machine leads to the
    server, known by the PEM text ``ca``; ``secret_paths`` are what the process must not be able to
    read.
    """

    study: str
    digest: str
    data: str
    out_of_bounds: str
    identity: str
    memory: str
    budget: str
    dataset: str
    events: str
    port: int
    ca: str
    secret_paths: list[str]

    def to_bytes(self) -> bytes:
        """One line, as it is written to the process."""
        return json.dumps(asdict(self)).encode() + b"\n"

    @classmethod
    def read(cls) -> HostTask:
        """The task from standard input."""
        return cls(**json.loads(sys.stdin.buffer.readline()))


def main() -> None:
    """Confine this process, then train until the parent ends it."""
    from blindfit.core_dumps import disable_core_dumps
    from blindfit.events import append_event

    disable_core_dumps()
    task = HostTask.read()

    def tell(event: str, **details: Any) -> None:
        append_event(Path(task.events), event, **details)

    with suppress(KeyboardInterrupt), sigterm_as_interrupt():
        run(task, tell)


def run(task: HostTask, tell: Any) -> None:
    """Train for the server until the parent ends this process; ``tell`` gets how far it is."""
    from client_app.sandbox import confine, python_paths

    # Before anything else is imported: threads that numpy starts would stay unconfined.
    confinement = confine(
        read=[*python_paths(), Path(task.study), Path(task.data)],
        write=[Path(task.memory).parent, Path(task.budget), Path(task.events).parent],
        connect=[task.port],
        secret=[Path(path) for path in task.secret_paths],
    )
    tell("confined", complete=confinement.complete, words=confinement.describe())
    node = _load(task, tell)
    tell("ready")
    node.run(lambda: False)


def _load(task: HostTask, tell: Any) -> Any:
    from typing import cast

    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.serialization import load_ssh_private_key

    from blindfit.dataset import load
    from blindfit.errors import StudyError
    from blindfit.study import load_study
    from client_app.budget import Budget
    from client_app.federation import make_client_app
    from client_app.fleet_link import FleetLink
    from client_app.participant import Participant
    from client_app.run_memory import RunMemory
    from client_app.study_budget import StudyBudget
    from client_app.supernode import SuperNode

    study = load_study(Path(task.study))
    if study.digest != task.digest:
        raise StudyError(f"{task.study} was changed after it was accepted")
    data = load(study, Path(task.data), cast(Any, task.out_of_bounds))
    key = cast(ec.EllipticCurvePrivateKey, load_ssh_private_key(task.identity.encode(), None))
    memory = RunMemory(Path(task.memory))
    ledger = StudyBudget(Budget.open(Path(task.budget).parent, task.dataset))
    participant = Participant(study, data, key, memory, ledger, tell)

    def connect() -> FleetLink:
        return FleetLink(f"{_LOOPBACK}:{task.port}", task.ca, key)

    return SuperNode(connect, study.study.app, make_client_app(participant, tell), tell)


if __name__ == "__main__":
    main()
