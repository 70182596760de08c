"""A seccomp filter for what Landlock does not cover: ways to reach somebody else's program.

Without it a confined process still reaches, by the path of a Unix socket, the user's D-Bus: the
keyring that may hold a passphrase, and systemd, which starts unconfined programs. It sends UDP,
listens, and connects past Landlock's TCP rules: with TCP Fast Open
(https://github.com/landlock-lsm/linux/issues/41) or as MPTCP. It opens files to other users by
their modes. So TCP is the only kind of socket that is left, and changing modes and owners, the
kernel's keyring, System V memory and io_uring (which opens sockets by itself) are refused. It is a
list of what is refused: all else is allowed.

The numbers are those of linux/seccomp.h, linux/filter.h, linux/audit.h, asm/unistd_64.h (x86_64)
and asm-generic/unistd.h (aarch64).
"""

from __future__ import annotations

import ctypes
import errno
import platform
import socket
import struct
import sys
from dataclasses import dataclass

_SET_MODE_FILTER = 1
_ALL_THREADS = 1 << 0  # SECCOMP_FILTER_FLAG_TSYNC; it passes no_new_privs on as well
_ALLOW, _REFUSE = 0x7FFF0000, 0x00050000 | errno.EACCES  # SECCOMP_RET_*
_LOAD, _AND, _EQUAL, _AT_LEAST, _ANY_BIT, _RETURN = 0x20, 0x54, 0x15, 0x35, 0x45, 0x06  # BPF_*
_NUMBER, _ARCHITECTURE, _ARGUMENTS = 0, 4, 16  # offsets in struct seccomp_data
_X32 = 0x40000000  # x86_64 has every system call a second time from here
_TYPE_MASK = 0xF  # SOCK_NONBLOCK and SOCK_CLOEXEC are above

_Program = list[tuple[int, int, int, int]]


@dataclass(frozen=True)
class _Architecture:
    audit: int
    seccomp: int
    socket: int
    sends: dict[int, int]  # system call -> which argument has the flags
    refused: dict[str, int]


_X86_64 = _Architecture(
    audit=0xC000003E,
    seccomp=317,
    socket=41,
    sends={44: 3, 46: 2, 307: 3},
    refused={
        "shmget": 29, "shmat": 30, "listen": 50, "semget": 64, "msgget": 68, "ptrace": 101,
        "mq_open": 240, "add_key": 248, "request_key": 249, "keyctl": 250, "unshare": 272,
        "perf_event_open": 298, "open_by_handle_at": 304, "setns": 308, "process_vm_readv": 310,
        "process_vm_writev": 311, "bpf": 321, "userfaultfd": 323, "io_uring_setup": 425,
        "pidfd_getfd": 438, "chmod": 90, "fchmod": 91, "chown": 92, "fchown": 93, "lchown": 94,
        "fchownat": 260, "fchmodat": 268, "fchmodat2": 452,
    },
)  # fmt: skip
_AARCH64 = _Architecture(
    audit=0xC00000B7,
    seccomp=277,
    socket=198,
    sends={206: 3, 211: 2, 269: 3},
    refused={
        "shmget": 194, "shmat": 196, "listen": 201, "semget": 190, "msgget": 186, "ptrace": 117,
        "mq_open": 180, "add_key": 217, "request_key": 218, "keyctl": 219, "unshare": 97,
        "perf_event_open": 241, "open_by_handle_at": 265, "setns": 268, "process_vm_readv": 270,
        "process_vm_writev": 271, "bpf": 280, "userfaultfd": 282, "io_uring_setup": 425,
        "pidfd_getfd": 438, "fchmod": 52, "fchmodat": 53, "fchownat": 54, "fchown": 55,
        "fchmodat2": 452,
    },
)  # fmt: skip
_ARCHITECTURES = {"x86_64": _X86_64, "aarch64": _AARCH64}


def install() -> bool:
    """Refuse those system calls from now on, in all threads; False where that is not possible.

    Needs `client_app.landlock.no_new_privileges`.
    """
    architecture = _ARCHITECTURES.get(platform.machine())
    if sys.platform != "linux" or architecture is None or sys.maxsize < 2**32:
        return False
    program = b"".join(struct.pack("=HBBI", *step) for step in _program(architecture))
    code = ctypes.create_string_buffer(program, len(program))
    head = struct.pack("@HP", len(program) // 8, ctypes.addressof(code))  # struct sock_fprog
    libc = ctypes.CDLL(None, use_errno=True)
    libc.syscall.restype = ctypes.c_long
    words = (architecture.seccomp, _SET_MODE_FILTER, _ALL_THREADS)
    return bool(libc.syscall(*map(ctypes.c_long, words), head) == 0)


def _program(of: _Architecture) -> _Program:
    refuse: _Program = [(_RETURN, 0, 0, _REFUSE)]
    allow: _Program = [(_RETURN, 0, 0, _ALLOW)]
    return [
        (_LOAD, 0, 0, _ARCHITECTURE),
        (_EQUAL, 1, 0, of.audit),
        *refuse,  # a 32-bit call has other numbers
        (_LOAD, 0, 0, _NUMBER),
        (_AT_LEAST, 0, 1, _X32),
        *refuse,
        *(step for number in of.refused.values() for step in _when(number, refuse)),
        *_when(of.socket, _only_tcp(refuse, allow)),
        *(
            step
            for number, flags in of.sends.items()
            for step in _when(number, _no_fast_open(flags, refuse, allow))
        ),
        *allow,
    ]


def _when(number: int, steps: _Program) -> _Program:
    """Take ``steps``, which end the program, if it is system call ``number``."""
    return [(_EQUAL, 0, len(steps), number), *steps]


def _only_tcp(refuse: _Program, allow: _Program) -> _Program:
    return [
        _argument(0),
        (_EQUAL, 2, 0, socket.AF_INET),
        (_EQUAL, 1, 0, socket.AF_INET6),
        *refuse,
        _argument(1),
        (_AND, 0, 0, _TYPE_MASK),
        (_EQUAL, 1, 0, socket.SOCK_STREAM),
        *refuse,
        _argument(2),
        (_EQUAL, 2, 0, 0),
        (_EQUAL, 1, 0, socket.IPPROTO_TCP),
        *refuse,
        *allow,
    ]


def _no_fast_open(flags: int, refuse: _Program, allow: _Program) -> _Program:
    return [_argument(flags), (_ANY_BIT, 0, 1, socket.MSG_FASTOPEN), *refuse, *allow]


def _argument(index: int) -> tuple[int, int, int, int]:
    """Load the lower half of an argument: all that is looked at are 32-bit integers."""
    return (_LOAD, 0, 0, _ARGUMENTS + 8 * index)
