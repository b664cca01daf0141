"""What every job that runs in this process shares, and what becomes of its message."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager
from contextvars import copy_context
from dataclasses import dataclass
from typing import Protocol, TypeAlias, TypeVar

from coatcheck.deployment import Deployment
from coatcheck.types import Handlers
from worker.aws import Aws
from worker.heart import Look, Pace
from worker.watchdog import watchdog

TICK = 0.5
"""Seconds between two looks of a heart at the time."""


@contextmanager
def in_a_thread(look: Look, silence: float) -> Iterator[None]:
    """The pace of a heart: looks every TICK seconds, in a thread of its own that a watchdog sees to."""
    quiet = threading.Event()

    def look_until_quiet() -> None:
        while not quiet.wait(TICK) and look():
            pass

    # in this context, so that what it logs is about the same job
    thread = threading.Thread(target=copy_context().run, args=(look_until_quiet,), name="heart", daemon=True)
    thread.start()
    try:
        with watchdog(silence):
            yield
    finally:
        quiet.set()
        thread.join()


R = TypeVar("R")
V = TypeVar("V")


class SideBySide(Protocol):
    """Calls a function with each of the values; the answers in their order."""

    def __call__(self, function: Callable[[V], R], values: Sequence[V], /) -> Sequence[R]: ...


def one_by_one(function: Callable[[V], R], values: Sequence[V], /) -> Sequence[R]:
    """Side by side in a single thread."""
    return [function(value) for value in values]


def in_threads(threads: int) -> SideBySide:
    """Side by side in so many threads, which stay. An exception of one call is raised when the others have ended."""
    pool = ThreadPoolExecutor(threads, thread_name_prefix="side-by-side")

    def side_by_side(function: Callable[[V], R], values: Sequence[V], /) -> Sequence[R]:
        calls = [pool.submit(function, value) for value in values]
        wait(calls)
        return [call.result() for call in calls]

    return side_by_side


@dataclass(frozen=True, slots=True)
class Tools:
    """The worker's tools. `clock` tells milliseconds since the epoch, `roll` a random number in [0, 1).

    `pace` is how the heart of an attempt beats; `end_process` ends this process at once, with an exit status.
    `side_by_side` is how the sweeper attends to many rows.
    """

    aws: Aws
    deployment: Deployment
    handlers: Handlers
    clock: Callable[[], int]
    roll: Callable[[], float]
    pace: Pace = in_a_thread
    end_process: Callable[[int], object] = os._exit
    side_by_side: SideBySide = one_by_one


@dataclass(frozen=True, slots=True)
class Done:
    """The message has done its work: delete it."""


@dataclass(frozen=True, slots=True)
class Again:
    """The message is to be received again in so many seconds."""

    seconds: int


@dataclass(frozen=True, slots=True)
class Aside:
    """The message is of no use: it goes to the dead letters, and `reason` with it."""

    reason: str


Verdict: TypeAlias = Done | Again | Aside


def system_clock() -> int:
    """The time of this machine, in milliseconds since the epoch."""
    return time.time_ns() // 1_000_000
