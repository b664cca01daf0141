"""A job that does nothing in a process of its own, and one whose first attempt ends its process."""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from pydantic import BaseModel

from bench.noop_job import Nothing
from coatcheck import Context, RetryPolicy, job

PIECE = 16 * 1024**2
EXIT_STATUS = 3
FOR_EVER = 3600.0


class Death(BaseModel):
    """How to end, and the folder for the file that says when: nanoseconds since the epoch, and the process."""

    kind: str
    folder: str


@job("bench.fresh", isolation="fresh")
def fresh(given: Nothing, _: Context) -> Nothing:
    """Do nothing, in a process of its own."""
    return given


@job("bench.die", max_attempts=2, retry=RetryPolicy(base=0, cap=0))
def die(given: Death, ctx: Context) -> Nothing:
    """End the process at the first attempt."""
    if ctx.attempt == 1:
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        KINDS[given.kind](Path(given.folder) / ctx.job_id)
        time.sleep(FOR_EVER)
    return Nothing()


def note(file: Path) -> None:
    """Write down that the end comes now."""
    whole = file.with_suffix(".part")
    whole.write_text(f"{time.time_ns()} {os.getpid()}")
    whole.rename(file)


def _exit(file: Path) -> None:
    note(file)
    os._exit(EXIT_STATUS)


def _abort(file: Path) -> None:
    note(file)
    os.abort()


def _read_nowhere(file: Path) -> None:
    note(file)
    ctypes.string_at(0)


def _terminate(file: Path) -> None:
    note(file)
    os.kill(os.getpid(), signal.SIGTERM)


def _close_everything(file: Path) -> None:
    note(file)
    os.closerange(0, os.sysconf("SC_OPEN_MAX"))


def _use_up_memory(file: Path) -> None:
    pieces = []
    try:
        while True:
            pieces.append(bytearray(PIECE))
    except MemoryError:
        pieces.clear()
        note(file)
        os._exit(EXIT_STATUS)


KILLED = "SIGKILL from outside"
KINDS: Mapping[str, Callable[[Path], None]] = {
    "os._exit": _exit,
    "abort": _abort,
    "SIGSEGV": _read_nowhere,
    KILLED: note,
    "SIGTERM": _terminate,
    "all descriptors closed": _close_everything,
    "memory limit": _use_up_memory,
}
