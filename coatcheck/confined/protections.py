"""What keeps a confined process from the rest of the machine. Applied by the process itself, before it imports anything
that reads hostile bytes; each protection that the kernel has holds until the process ends.
"""

from __future__ import annotations

import os
import resource
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from coatcheck.confined import landlock, seccomp
from coatcheck.confined.users import become_another
from coatcheck.linux import PR_SET_DUMPABLE, PR_SET_NO_NEW_PRIVS, PR_SET_PDEATHSIG, Kernel

MAX_OPEN_FILES = 256
# what most systems give; it does not count as private memory, and could be raised to no end
STACK_SIZE = 8 * 1024**2


class Protection(StrEnum):
    """One protection of a confined process. `protections` tells which are in force on a machine."""

    LIMITS = "limits"
    """The kernel bounds its memory and files. Everywhere."""

    ENDS_WITH_PARENT = "ends-with-parent"
    """It is killed when its parent dies. Linux."""

    HIDDEN = "hidden"
    """Its memory and its parent's are closed to processes of the same user. Linux."""

    NO_PRIVILEGES = "no-privileges"
    """It has no capability, not as root either, and can gain none. Linux."""

    OTHER_USER = "other-user"
    """It has a user of its own, whose threads are bounded. Where the worker is root, and that user can read Python."""

    FILES = "files"
    """It opens no file but those it may: Landlock, since Linux 5.13 where it is switched on."""

    SYSTEM_CALLS = "system-calls"
    """No network, no other process, no other's memory or signals: seccomp, on x86_64 and aarch64."""


@dataclass(frozen=True, slots=True)
class Walls:
    """What a confined process may use and reach.

    `seconds` is of processor time; `parent` a process id; `module` what it will import; `root` the folder in which the
    `writable` ones are.
    """

    parent: int
    memory: int
    file_size: int
    seconds: int | None
    module: str
    files: Sequence[str]
    readable: Sequence[str]
    listed: Sequence[str]
    root: str
    writable: Sequence[str]


def confine(walls: Walls) -> list[Protection]:
    """Confine this process, for ever. Return what is in force; what the kernel lacks or refuses is left out."""
    set_limits(walls)
    if sys.platform != "linux":
        return [Protection.LIMITS]
    return [Protection.LIMITS, *_confine_by_kernel(Kernel(), walls)]


def set_limits(walls: Walls) -> None:
    """Bound what this process may use. What exceeds the size of a file is an OSError, not a signal."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    limits = {
        resource.RLIMIT_DATA: walls.memory,
        resource.RLIMIT_STACK: STACK_SIZE,
        resource.RLIMIT_FSIZE: walls.file_size,
        resource.RLIMIT_NOFILE: MAX_OPEN_FILES,
        resource.RLIMIT_CORE: 0,
    }
    if walls.seconds is not None:
        limits[resource.RLIMIT_CPU] = walls.seconds
    for kind, wanted in limits.items():
        hard = resource.getrlimit(kind)[1]
        value = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(kind, (value, value))


def _confine_by_kernel(kernel: Kernel, walls: Walls) -> Iterator[Protection]:
    """The order matters: another user's death signal is another; seccomp is last, since it refuses all the others."""
    # the first to go where memory runs short
    with suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000", encoding="ascii")
    if become_another(walls.module, walls.files, [walls.root, *walls.writable]):
        yield Protection.OTHER_USER
    with suppress(OSError):
        kernel.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        yield Protection.ENDS_WITH_PARENT
    if os.getppid() != walls.parent:
        # it died before it was watched
        os._exit(1)
    with suppress(OSError):
        kernel.prctl(PR_SET_DUMPABLE, 0)
        yield Protection.HIDDEN
    with suppress(OSError):
        kernel.prctl(PR_SET_NO_NEW_PRIVS, 1)
        version = landlock.version(kernel)
        if version:
            with suppress(OSError):
                _restrict_files(kernel, version, walls)
                yield Protection.FILES
        kernel.drop_capabilities()
        yield Protection.NO_PRIVILEGES
    if seccomp.available():
        with suppress(OSError):
            seccomp.install(kernel, os.getpid())
            yield Protection.SYSTEM_CALLS


def _restrict_files(kernel: Kernel, version: int, walls: Walls) -> None:
    readable = [*walls.readable, *walls.files]
    landlock.restrict(kernel, version, readable, walls.listed, [*walls.writable, os.devnull])
