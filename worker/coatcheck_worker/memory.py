"""How much memory a worker process may take, so that a handler that asks for too much fails alone."""

from __future__ import annotations

import os
import resource
from pathlib import Path

MB = 1024 * 1024
USABLE_FRACTION = 0.9
"""The part of the machine's memory that is divided among the worker processes; the rest stays free for others."""

MIN_MEMORY = 128
"""Megabytes that a process takes to do anything at all."""

_CGROUP_EVENTS = "/sys/fs/cgroup/memory.events"
_CGROUP_LIMITS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")


def per_process(processes: int) -> int:
    """The megabytes that each of `processes` processes may take of the memory of this machine or container."""
    return int(_available() * USABLE_FRACTION / processes / MB)


def limit(megabytes: int) -> None:
    """Limit the memory of this process, and of each child process: asking for more raises MemoryError.

    The limit counts private memory that is requested, whether used or not. Linux enforces it, macOS does not:
    https://man7.org/linux/man-pages/man2/getrlimit.2.html (RLIMIT_DATA)
    """
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    wanted = megabytes * MB
    resource.setrlimit(resource.RLIMIT_DATA, (wanted if hard == resource.RLIM_INFINITY else min(wanted, hard), hard))


def times_out_of_memory() -> int:
    """How often the system has ended a process of this container for lack of memory; 0 where it does not say.

    https://docs.kernel.org/admin-guide/cgroup-v2.html#memory-interface-files (memory.events)
    """
    try:
        events = dict(line.split() for line in Path(_CGROUP_EVENTS).read_text().splitlines())
        return int(events.get("oom_kill", 0))
    except (OSError, ValueError):
        return 0


def _available() -> int:
    physical = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return min([physical, *(found for path in _CGROUP_LIMITS if (found := _number_in(Path(path))))])


def _number_in(path: Path) -> int | None:
    try:
        return int(path.read_text())
    except (OSError, ValueError):  # the file does not exist, or says "max": no limit
        return None
