"""How much memory a worker process may take, so that a handler that wants too much fails alone."""

from __future__ import annotations

import os
import resource
from pathlib import Path

MB = 1024 * 1024
USABLE_FRACTION = 0.9
"""The part of the machine's memory that is shared out to the processes; the rest is everyone's."""

_CGROUP_LIMITS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")


def per_process(processes: int) -> int:
    """The megabytes that each of so many processes may take of what this machine, or this container, has."""
    return int(_available() * USABLE_FRACTION / processes / MB)


def limit(megabytes: int) -> None:
    """From now on, asking for more than this raises MemoryError in who asks, here and in child processes each.

    It bounds the private memory that is asked for, whether used or not. Linux heeds it, macOS does not:
    https://man7.org/linux/man-pages/man2/getrlimit.2.html (RLIMIT_DATA)
    """
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    wanted = megabytes * MB
    resource.setrlimit(resource.RLIMIT_DATA, (wanted if hard == resource.RLIM_INFINITY else min(wanted, hard), hard))


def _available() -> int:
    physical = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return min([physical, *(found for path in _CGROUP_LIMITS if (found := _number_in(Path(path))))])


def _number_in(path: Path) -> int | None:
    try:
        return int(path.read_text())
    except (OSError, ValueError):  # no such limit; "max" is none either
        return None
