"""What a job left changed in its process. A runner with traces runs no other job."""

from __future__ import annotations

import builtins
import json
import locale
import os
import resource
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

MB = 1024 * 1024
MAX_GROWTH = 256 * MB
"""Bytes that a process may grow over its jobs: then it is replaced, and what they kept is freed."""

_STREAMS = ("stdin", "stdout", "stderr", "excepthook", "displayhook")
_FUNCTIONS: tuple[tuple[Any, str], ...] = (
    *((json, name) for name in ("dumps", "loads", "dump", "load")),
    *((time, name) for name in ("time", "monotonic", "sleep", "time_ns", "perf_counter")),
    *((builtins, name) for name in ("open", "print", "__import__", "len", "isinstance")),
    *((os, name) for name in ("fork", "_exit", "getpid", "open", "kill", "environ")),
)
"""What handlers and the runner itself rely on, and tests like to replace."""

_TIMERS = (signal.ITIMER_REAL, signal.ITIMER_VIRTUAL, signal.ITIMER_PROF)
_LIMITS = tuple(getattr(resource, name) for name in dir(resource) if name.startswith("RLIMIT_"))


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The state of a process that one job can leave behind for the next."""

    state: Mapping[str, Any]
    environment: Mapping[str, str]
    threads: frozenset[int]
    memory: int

    def changes(self, after: Snapshot) -> list[str]:
        """Name what differs in `after`, a later snapshot of the same process."""
        changed = [name for name, value in self.state.items() if after.state[name] != value]
        if names := _changed_keys(self.environment, after.environment):
            changed.append(f"environment variables ({', '.join(names)})")
        if more := len(after.threads - self.threads):
            changed.append(f"{more} thread{'s' if more > 1 else ''}")
        if after.memory - self.memory > MAX_GROWTH:
            changed.append(f"{(after.memory - self.memory) // MB} MB of memory")
        return changed


def take_snapshot() -> Snapshot:
    """Look at this process, with no thread of a handler at work."""
    state: dict[str, Any] = {
        "working folder": _working_folder(),
        "locale": locale.setlocale(locale.LC_ALL),
        "umask": _umask(),
        "signal handlers": [signal.getsignal(number) for number in signal.valid_signals()],
        "blocked signals": signal.pthread_sigmask(signal.SIG_BLOCK, []),
        "timers": [signal.getitimer(timer)[0] > 0 for timer in _TIMERS],
        "tempfile.tempdir": tempfile.tempdir,
        "limits": [resource.getrlimit(limit) for limit in _LIMITS],
        "recursion limit": sys.getrecursionlimit(),
        "trace or profile function": (sys.gettrace(), sys.getprofile()),
        "child processes": _children(),
        **{f"sys.{name}": id(getattr(sys, name, None)) for name in _STREAMS},
        **{f"{module.__name__}.{name}": id(getattr(module, name, None)) for module, name in _FUNCTIONS},
    }
    threads = frozenset(thread.ident or 0 for thread in threading.enumerate())
    return Snapshot(state, dict(os.environ), threads, _resident())


def _changed_keys(before: Mapping[str, str], after: Mapping[str, str]) -> list[str]:
    if before == after:
        return []
    return sorted(name[:40] for name in {*before, *after} if before.get(name) != after.get(name))[:5]


def _working_folder() -> str | None:
    try:
        return str(Path.cwd())
    except OSError:  # it was removed
        return None


def _umask() -> int:
    mask = os.umask(0o077)
    os.umask(mask)
    return mask


def _children() -> str:
    """The child processes, as Linux lists them; on other systems there is no such list."""
    try:
        return Path(f"/proc/self/task/{threading.get_native_id()}/children").read_text()
    except OSError:
        return ""


def _resident() -> int:
    """Bytes of memory that the process has in use; 0 where the system does not say."""
    try:
        return int(Path("/proc/self/statm").read_bytes().split()[1]) * resource.getpagesize()
    except OSError:
        return 0
