"""What every job that runs in this process shares, and what becomes of its message."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass
from typing import Protocol, TypeAlias, TypeVar

from coatcheck.authoring.types import Handlers
from coatcheck.core.settings import Settings
from coatcheck_worker.boto_transport import Transport
from coatcheck_worker.ticker import Ticker, tick_in_thread

R = TypeVar("R")
V = TypeVar("V")


class ParallelMap(Protocol):
    """Calls a function with each of the values; the answers in their order."""

    def __call__(self, function: Callable[[V], R], values: Sequence[V], /) -> Sequence[R]: ...


def sequential_map(function: Callable[[V], R], values: Sequence[V], /) -> Sequence[R]:
    """Side by side in a single thread."""
    return [function(value) for value in values]


def threaded_map(threads: int) -> ParallelMap:
    """Side by side in so many threads, which stay. An exception of one call is raised when the others have ended."""
    pool = ThreadPoolExecutor(threads, thread_name_prefix="side-by-side")

    def parallel_map(function: Callable[[V], R], values: Sequence[V], /) -> Sequence[R]:
        calls = [pool.submit(function, value) for value in values]
        wait(calls)
        return [call.result() for call in calls]

    return parallel_map


@dataclass(frozen=True, slots=True)
class Dependencies:
    """The worker's tools. `clock` tells milliseconds since the epoch, `roll` a random number in [0, 1).

    `ticker` is how the heart of an attempt beats; `end_process` ends this process at once, with an exit status.
    `parallel_map` is how the sweeper attends to many rows.
    """

    transport: Transport
    settings: Settings
    handlers: Handlers
    clock: Callable[[], int]
    roll: Callable[[], float]
    ticker: Ticker = tick_in_thread
    end_process: Callable[[int], object] = os._exit
    parallel_map: ParallelMap = sequential_map


@dataclass(frozen=True, slots=True)
class Ack:
    """The message has done its work: delete it."""


@dataclass(frozen=True, slots=True)
class Redeliver:
    """The message is to be received again in so many seconds."""

    seconds: int


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """The message is of no use: it goes to the dead letters, and `reason` with it."""

    reason: str


Disposition: TypeAlias = Ack | Redeliver | DeadLetter


def system_clock() -> int:
    """The time of this machine, in milliseconds since the epoch."""
    return time.time_ns() // 1_000_000
