"""What a job left changed in its process. A runner with traces runs no other job."""

from __future__ import annotations

import builtins
import functools
import json
import locale
import os
import re
import resource
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import repeat
from pathlib import Path
from typing import Any

MB = 1024 * 1024
MAX_GROWTH = 256 * MB
"""Bytes that a process may grow over its jobs: then it is replaced, and what they kept is freed."""

_REPLACEABLE: tuple[tuple[Any, str], ...] = (
    *((sys, name) for name in ("stdin", "stdout", "stderr", "excepthook", "displayhook")),
    *((json, name) for name in ("dumps", "loads", "dump", "load")),
    *((time, name) for name in ("time", "monotonic", "sleep", "time_ns", "perf_counter")),
    *((builtins, name) for name in ("open", "print", "__import__", "len", "isinstance")),
    *((os, name) for name in ("fork", "_exit", "getpid", "open", "kill", "environ")),
)
"""What handlers and the runner itself rely on, and tests like to replace."""

_OWNERS, _NAMES = zip(*_REPLACEABLE, strict=True)
_FULL_NAMES = tuple(f"{owner.__name__}.{name}" for owner, name in _REPLACEABLE)

_TIMERS = (signal.ITIMER_REAL, signal.ITIMER_VIRTUAL, signal.ITIMER_PROF)
_LIMITS = tuple(getattr(resource, name) for name in dir(resource) if name.startswith("RLIMIT_"))
_SIGNALS = frozenset(map(int, signal.valid_signals()))

_HERE = Path()
# of the process, and of the thread that asks: https://man7.org/linux/man-pages/man5/proc_pid_status.5.html
_STATUS, _CHILDREN = Path("/proc/self/status"), Path("/proc/thread-self/children")
_RESIDENT = re.compile(r"VmRSS:\s*(\d+) kB")
_DISPOSITIONS = re.compile(r"SigIgn:\s*\w+\s*SigCgt:\s*(\w+)")


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The state of a process that one job can leave behind for the next."""

    state: Mapping[str, Any]
    environment: Mapping[str, str]
    threads: frozenset[int]
    memory: int

    def changes(self, after: Snapshot) -> list[str]:
        """Name what differs in `after`, a later snapshot of the same process."""
        changed = _changed_keys(self.state, after.state)
        if names := sorted(_changed_keys(self.environment, after.environment)):
            changed.append(f"environment variables ({', '.join(name[:40] for name in names[:5])})")
        if more := len(after.threads - self.threads):
            changed.append(f"{more} thread{'s' if more > 1 else ''}")
        if after.memory - self.memory > MAX_GROWTH:
            changed.append(f"{(after.memory - self.memory) // MB} MB of memory")
        return changed


def take_snapshot() -> Snapshot:
    """Look at this process, with no thread of a handler at work."""
    status = _read(_STATUS)
    state: dict[str, Any] = {
        "working folder": _working_folder(),
        "locale": locale.setlocale(locale.LC_ALL),
        "umask": _umask(),
        "signal handlers": _signal_handlers(status),
        "blocked signals": signal.pthread_sigmask(signal.SIG_BLOCK, []),
        "timers": [signal.getitimer(timer)[0] > 0 for timer in _TIMERS],
        "tempfile.tempdir": tempfile.tempdir,
        "limits": [resource.getrlimit(limit) for limit in _LIMITS],
        "recursion limit": sys.getrecursionlimit(),
        "trace or profile function": (sys.gettrace(), sys.getprofile()),
        "child processes": _read(_CHILDREN),
    }
    state.update(zip(_FULL_NAMES, map(id, map(getattr, _OWNERS, _NAMES, repeat(None))), strict=True))
    threads = frozenset(thread.ident or 0 for thread in threading.enumerate())
    return Snapshot(state, dict(os.environ), threads, _resident(status))


def _changed_keys(before: Mapping[str, object], after: Mapping[str, object]) -> list[str]:
    if before == after:
        return []
    return [name for name in {**before, **after} if before.get(name) != after.get(name)]


def _working_folder() -> tuple[int, int] | None:
    try:
        found = _HERE.stat()
    except OSError:  # it cannot be entered any more
        return None
    return found.st_dev, found.st_ino


def _signal_handlers(status: str) -> object:
    """What is ignored and what is caught, and the functions of Python by which it is caught.

    Without a `status` each signal is asked for: `signal` makes an enum of each answer, which takes a while.
    """
    found = _DISPOSITIONS.search(status)
    if found is None:
        return [signal.getsignal(number) for number in _SIGNALS]
    return found[0], [signal.getsignal(number) for number in _of_mask(found[1])]


@functools.lru_cache(maxsize=8)
def _of_mask(mask: str) -> Sequence[int]:
    """The signals of a set, as Linux shows it."""
    return [number for number in _SIGNALS if int(mask, 16) >> (number - 1) & 1]


def _umask() -> int:
    mask = os.umask(0o077)
    os.umask(mask)
    return mask


def _read(file: Path) -> str:
    """What Linux says in this file; nothing on other systems."""
    try:
        return file.read_text()
    except OSError:
        return ""


def _resident(status: str) -> int:
    """Bytes of memory that the process has in use; 0 where the system does not say."""
    found = _RESIDENT.search(status)
    return int(found[1]) * 1024 if found else 0
