"""Confining the process that trains: it cannot read the FHE keys, whatever a peer makes it do.

`confine` is called before that process looks at anything from outside. From then on the kernel
refuses it, and what it starts, all files and TCP ports that were not named, and other processes. It
holds for ever; files that are open already stay usable.

Not confined: whether a file is there and how long it is (stat), times of files, and how much of the
machine is used. Before Landlock ABI 3 (Linux 6.2) the user's files can be cut. Root can do more
than others: run it as an ordinary user.
"""

from __future__ import annotations

import os
import site
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

# All three, so that what is imported later is found by their folders: the one above them, which
# cannot be listed any more, may hold anything in an editable installation.
import blindfit
import client_app
import keys
from blindfit.core_dumps import disable_core_dumps
from blindfit.errors import AccessError
from client_app import landlock, syscall_filter

_PACKAGES = (blindfit, client_app, keys)
_SYSTEM = (
    # shared libraries
    *("/lib", "/lib32", "/lib64", "/usr/lib", "/usr/lib32", "/usr/lib64", "/usr/local/lib"),
    *("/etc/ld.so.cache", "/nix/store", "/gnu/store"),
    # certificates, time zones, names
    *("/etc/ssl", "/etc/pki", "/etc/ca-certificates", "/usr/share/ca-certificates"),
    *("/usr/local/share/ca-certificates", "/usr/share/zoneinfo", "/etc/localtime"),
    *("/etc/hosts", "/etc/host.conf", "/etc/nsswitch.conf", "/etc/resolv.conf", "/etc/gai.conf"),
    *("/etc/passwd", "/etc/group", "/etc/os-release"),
    # how many cores and how much memory there are: joblib and OpenBLAS ask
    *("/proc/self", "/proc/cpuinfo", "/proc/meminfo", "/proc/stat", "/proc/sys/vm"),
    *("/sys/devices/system/cpu", "/sys/devices/system/node", "/sys/fs/cgroup"),
    *("/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom"),
)
_NULL = Path("/dev/null")

_KEPT = frozenset(
    "PATH HOME LANG LANGUAGE TZ TZDIR TMPDIR TERM NO_COLOR LD_LIBRARY_PATH SSL_CERT_FILE "
    "SSL_CERT_DIR PYTHONPATH PYTHONHOME PYTHONHASHSEED PYTHONUNBUFFERED PYTHONUTF8 PYTHONSAFEPATH "
    "PYTHONIOENCODING PYTHONDONTWRITEBYTECODE PYTHONNOUSERSITE PYTHONFAULTHANDLER PYTHONWARNINGS"
    "".split()
)
_KEPT_PREFIXES = ("LC_", "OMP_", "KMP_", "OPENBLAS_", "MKL_", "BLIS_")
_KEPT_SUFFIX = "_NUM_THREADS"
# Its processes share semaphores in /dev/shm, which is everybody's: it then works in this one.
_ADDED = {"JOBLIB_MULTIPROCESSING": "0"}


@dataclass(frozen=True)
class Confinement:
    """What the kernel enforces.

    ``files``: only the named ones. ``network``: TCP to the named ports only, and none is listened
    on. ``processes``: no signal to others (ptrace is refused with ``files`` already). ``services``:
    no other program's sockets, and no UDP. ``loose_threads``: threads that were started before and
    are not confined; they share this one's memory.
    """

    files: bool
    network: bool = False
    processes: bool = False
    services: bool = False
    abi: int = 0
    loose_threads: int = 0

    @property
    def complete(self) -> bool:
        """Whether nothing is missing."""
        return not self._missing()

    def describe(self) -> str:
        """One line for people."""
        if not self.files:
            return (
                "warning: this kernel has no Landlock (Linux 5.13, enabled at boot): the process "
                "that trains can read every file of this user"
            )
        text = f"the process that trains is confined by the kernel (Landlock ABI {self.abi})"
        missing = self._missing()
        return f"{text}; except for {', '.join(missing)}" if missing else text

    def _missing(self) -> list[str]:
        parts = {
            "files": self.files,
            "TCP ports (Linux 6.7)": self.network,
            "signals to other processes (Linux 6.12)": self.processes,
            "Unix sockets and UDP (seccomp)": self.services,
            f"{self.loose_threads} threads that ran already": not self.loose_threads,
        }
        return [name for name, there in parts.items() if not there]


def confine(
    read: Sequence[Path],
    write: Sequence[Path],
    connect: Sequence[int],
    *,
    secret: Sequence[Path] = (),
) -> Confinement:
    """Give up all files but ``read`` and ``write``, all TCP ports but ``connect``, other processes.

    A folder stands for all that is beneath it; what may be read may also be executed. ``read`` must
    include `python_paths`, and ``write`` what TMPDIR says if temporary files are made. ``secret``
    are paths that none of these may open up. Raises `AccessError` if one would, if a path is not
    there, or if the kernel refuses. Where the kernel has no Landlock it does what it can, and the
    result says so: tell the person.

    Call it first, in the main thread: before ABI 8 (Linux 7.0) threads that run already stay as
    they are, and numpy starts some when it is imported.
    """
    _refuse_exposure([*read, *write], secret)
    disable_core_dumps()
    abi = landlock.abi_version()
    threads = _other_threads() if 0 < abi < landlock.ALL_THREADS_ABI else 0
    try:
        if sys.platform == "linux":
            landlock.no_new_privileges()
        if abi:
            landlock.restrict(abi, _rules(read, write), connect)
    except OSError as error:
        raise AccessError(
            f"the process that trains cannot be confined: {error}",
            hint="check that the files exist; nothing of a peer was handled",
        ) from error
    return Confinement(
        files=abi > 0,
        network=abi >= landlock.NETWORK_ABI,
        processes=abi >= landlock.PROCESSES_ABI,
        services=syscall_filter.install(),
        abi=abi,
        loose_threads=threads,
    )


def python_paths() -> list[Path]:
    """What Python and its libraries read: the installation, our packages, and the system's part."""
    folders = [sys.prefix, sys.base_prefix, sys.exec_prefix, *site.getsitepackages()]
    if site.ENABLE_USER_SITE:
        folders.append(site.getusersitepackages())
    folders += [folder for package in _PACKAGES for folder in package.__path__]
    paths = dict.fromkeys(Path(name) for name in (*folders, *_SYSTEM))
    return [path for path in paths if path.exists()]


def clean_environment(environment: Mapping[str, str] | None = None) -> dict[str, str]:
    """What of ``environment`` [default: ours] the process that trains is started with.

    A list of what is kept: the addresses of D-Bus and of SSH and GPG agents, passwords for proxies,
    what BLINDFIT_* says, and variables that load code (LD_PRELOAD, PYTHONSTARTUP) are not in it.
    """
    found = os.environ if environment is None else environment
    return {name: value for name, value in found.items() if _is_kept(name)} | _ADDED


def _is_kept(name: str) -> bool:
    return name in _KEPT or name.startswith(_KEPT_PREFIXES) or name.endswith(_KEPT_SUFFIX)


def _rules(read: Sequence[Path], write: Sequence[Path]) -> Iterable[tuple[Path, landlock.Files]]:
    for path in read:
        yield path, landlock.READ
    for path in write:
        yield path, landlock.CHANGE
    yield _NULL, landlock.Files.READ_FILE | landlock.Files.WRITE_FILE


def _refuse_exposure(open_to_it: Sequence[Path], secret: Sequence[Path]) -> None:
    for hidden in (path.resolve() for path in secret):
        for path in open_to_it:
            # Below a folder that may be read, or above it: a file of the keys that is itself named.
            if hidden.is_relative_to(path.resolve()) or path.resolve().is_relative_to(hidden):
                raise AccessError(
                    f"{hidden} could be read through {path}",
                    hint="move the home, or the file with the rows, to a folder of its own",
                )


def _other_threads() -> int:
    return len(list(Path("/proc/self/task").iterdir())) - 1


__all__ = ["Confinement", "clean_environment", "confine", "python_paths"]
