"""Whose process is at the other end of a loopback connection?"""

from __future__ import annotations

import os
import socket
import sys
from pathlib import Path

_TABLE = Path("/proc/net/tcp")  # proc(5)
_LOCAL, _REMOTE, _UID = 1, 2, 7  # its columns

Address = tuple[str, int]


def is_own_peer(peer: Address, here: Address, table: Path = _TABLE) -> bool:
    """Whether the socket at ``peer`` that is connected to ``here`` belongs to this process's user.

    Both are IPv4. Where the system has no such table it cannot be told, and the answer is yes.
    """
    if not table.exists():
        return True
    ends = [_as_in_table(peer), _as_in_table(here)]
    for line in table.read_text(encoding="ascii").splitlines():
        columns = line.split()
        if columns[_LOCAL : _REMOTE + 1] == ends:
            return int(columns[_UID]) == os.geteuid()
    return False


def _as_in_table(address: Address) -> str:
    host, port = address
    # The kernel prints the four bytes as the machine's own integer.
    number = int.from_bytes(socket.inet_aton(host), sys.byteorder)
    return f"{number:08X}:{port:04X}"
