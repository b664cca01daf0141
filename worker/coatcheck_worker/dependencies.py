"""The dependencies that all jobs of a process share, and the dispositions of a message."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from typing import Protocol, TypeAlias, TypeVar

from coatcheck.aws_transport.protocols import Transport
from coatcheck.core.settings import Settings
from coatcheck.core.tracer import NO_TRACER, Tracer
from coatcheck_worker.limits_cache import LimitsCache
from coatcheck_worker.runners import NoRunners, Runners
from coatcheck_worker.s3_signing import Sign, sign_nothing
from coatcheck_worker.secret_cache import SecretCache
from coatcheck_worker.ticker import ThreadTicker, Ticker

R = TypeVar("R")
V = TypeVar("V")


class ParallelMap(Protocol):
    """Calls a function with each of the values, and returns the results in their order."""

    def __call__(self, function: Callable[[V], R], values: Sequence[V], /) -> Sequence[R]: ...


def sequential_map(function: Callable[[V], R], values: Sequence[V], /) -> Sequence[R]:
    """Call the function with one value after another, in this thread."""
    return [function(value) for value in values]


def threaded_map(threads: int) -> ParallelMap:
    """A map over a pool of `threads` threads, which is kept. Raises a call's exception when the others have ended."""
    pool = ThreadPoolExecutor(threads, thread_name_prefix="side-by-side")

    def parallel_map(function: Callable[[V], R], values: Sequence[V], /) -> Sequence[R]:
        calls = [pool.submit(function, value) for value in values]
        wait(calls)
        return [call.result() for call in calls]

    return parallel_map


@dataclass(frozen=True, slots=True)
class Dependencies:
    """The worker's dependencies. `clock` returns milliseconds since the epoch, `roll` a random number in [0, 1).

    `runners` run the handlers, `sign` signs their requests to S3. `ticker` drives the heartbeat of an attempt. The
    sweeper processes rows through `parallel_map`. `secrets` keeps those that handlers asked for.
    `limits` are those of tenants. `tracer` makes spans of attempts and webhooks.
    """

    transport: Transport
    settings: Settings
    clock: Callable[[], int]
    roll: Callable[[], float]
    runners: Runners = field(default_factory=NoRunners)
    sign: Sign = sign_nothing
    ticker: Ticker = field(default_factory=ThreadTicker)
    parallel_map: ParallelMap = sequential_map
    secrets: SecretCache = field(default_factory=SecretCache)
    limits: LimitsCache = field(default_factory=LimitsCache)
    tracer: Tracer = NO_TRACER


@dataclass(frozen=True, slots=True)
class Ack:
    """The message has done its work: delete it."""


@dataclass(frozen=True, slots=True)
class Redeliver:
    """The message is to be received again after a delay in seconds."""

    seconds: int


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """The message is useless: move it to the dead-letter queue, with `reason`."""

    reason: str


Disposition: TypeAlias = Ack | Redeliver | DeadLetter
