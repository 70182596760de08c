"""Landlock: a process gives up files, TCP ports and other processes, for itself and its children.

Only system calls and numbers; what is given up is decided in `client_app.sandbox`. The numbers are
those of linux/landlock.h (Linux 7.0), the ABI versions those of landlock(7) and of
https://docs.kernel.org/userspace-api/landlock.html. The libraries on PyPI were not taken: the known
one has neither ports nor signals, and those that have them were a few weeks old and in few hands.
"""

from __future__ import annotations

import ctypes
import errno
import os
import stat
import struct
import sys
from collections.abc import Iterable
from enum import IntFlag
from pathlib import Path

# asm-generic/unistd.h; new system calls have the same number on every architecture.
_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_GET_VERSION = 1 << 0
_PATH_BENEATH, _NET_PORT = 1, 2
_ALL_THREADS = 1 << 3  # LANDLOCK_RESTRICT_SELF_TSYNC
_PR_SET_NO_NEW_PRIVS = 38  # linux/prctl.h

NETWORK_ABI, PROCESSES_ABI, ALL_THREADS_ABI = 4, 6, 8


class Files(IntFlag):
    """LANDLOCK_ACCESS_FS_*: what may be done beneath a path."""

    EXECUTE = 1 << 0
    WRITE_FILE = 1 << 1
    READ_FILE = 1 << 2
    READ_DIR = 1 << 3
    REMOVE_DIR = 1 << 4
    REMOVE_FILE = 1 << 5
    MAKE_CHAR = 1 << 6
    MAKE_DIR = 1 << 7
    MAKE_REG = 1 << 8
    MAKE_SOCK = 1 << 9
    MAKE_FIFO = 1 << 10
    MAKE_BLOCK = 1 << 11
    MAKE_SYM = 1 << 12
    REFER = 1 << 13
    TRUNCATE = 1 << 14
    IOCTL_DEV = 1 << 15


_NEWER = {2: Files.REFER, 3: Files.TRUNCATE, 5: Files.IOCTL_DEV}  # ABI in which they came
_OF_A_FILE = (
    Files.EXECUTE | Files.WRITE_FILE | Files.READ_FILE | Files.TRUNCATE | Files.IOCTL_DEV
)  # the others are rights of a folder
_BIND_TCP, _CONNECT_TCP = 1 << 0, 1 << 1
_ABSTRACT_UNIX_SOCKET, _SIGNAL = 1 << 0, 1 << 1

READ = Files.READ_FILE | Files.READ_DIR | Files.EXECUTE
CHANGE = (
    READ & ~Files.EXECUTE
    | Files.WRITE_FILE
    | Files.TRUNCATE
    | Files.MAKE_REG
    | Files.MAKE_DIR
    | Files.MAKE_SYM
    | Files.REMOVE_FILE
    | Files.REMOVE_DIR
    | Files.REFER
)


def abi_version() -> int:
    """The kernel's version of Landlock, 0 where there is none or it is switched off."""
    if sys.platform != "linux":
        return 0
    try:
        return _call(_CREATE_RULESET, None, 0, _GET_VERSION)
    except OSError as error:
        if error.errno in (errno.ENOSYS, errno.EOPNOTSUPP):
            return 0
        raise


def no_new_privileges() -> None:
    """From now on no program that is started has more rights than this process (prctl(2))."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0:
        raise _last_error("prctl(PR_SET_NO_NEW_PRIVS)")


def restrict(abi: int, paths: Iterable[tuple[Path, Files]], ports: Iterable[int]) -> None:
    """Keep the rights to ``paths`` and to connect to TCP ``ports``; give up all others, for ever.

    Holds for the calling thread and what it starts; from `ALL_THREADS_ABI` for all threads. From
    `NETWORK_ABI` TCP is restricted, from `PROCESSES_ABI` signals and abstract Unix sockets. Needs
    `no_new_privileges`. Raises OSError.
    """
    files = _rights_of(abi)
    network = _BIND_TCP | _CONNECT_TCP if abi >= NETWORK_ABI else 0
    scoped = _ABSTRACT_UNIX_SOCKET | _SIGNAL if abi >= PROCESSES_ABI else 0
    # An older kernel takes the longer structure as long as what it does not know is zero.
    attributes = struct.pack("=QQQ", files, network, scoped)
    ruleset = _call(_CREATE_RULESET, attributes, len(attributes), 0)
    try:
        for path, rights in paths:
            _allow_path(ruleset, path, rights & files)
        for port in ports if network else ():
            _call(_ADD_RULE, ruleset, _NET_PORT, struct.pack("=QQ", _CONNECT_TCP, port), 0)
        _call(_RESTRICT_SELF, ruleset, _ALL_THREADS if abi >= ALL_THREADS_ABI else 0)
    finally:
        os.close(ruleset)


def _rights_of(abi: int) -> Files:
    rights = Files(Files.REFER - 1)  # the thirteen of the first version
    for since, right in _NEWER.items():
        rights |= right if abi >= since else Files(0)
    return rights


def _allow_path(ruleset: int, path: Path, rights: Files) -> None:
    descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC)
    try:
        if not stat.S_ISDIR(os.fstat(descriptor).st_mode):
            rights &= _OF_A_FILE
        # The structure is packed: no padding after the descriptor.
        _call(_ADD_RULE, ruleset, _PATH_BENEATH, struct.pack("=Qi", rights, descriptor), 0)
    finally:
        os.close(descriptor)


def _call(number: int, *arguments: int | bytes | None) -> int:
    libc = ctypes.CDLL(None, use_errno=True)
    libc.syscall.restype = ctypes.c_long
    words = [ctypes.c_long(word) if isinstance(word, int) else word for word in arguments]
    result = int(libc.syscall(ctypes.c_long(number), *words))
    if result < 0:
        raise _last_error(f"Landlock's system call {number}")
    return result


def _last_error(what: str) -> OSError:
    number = ctypes.get_errno()
    return OSError(number, f"{what}: {os.strerror(number)}")
