"""Threads of a process in virtual time: the heart's, and those of a sweeper."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TypeVar

from coatcheck_worker.dependencies import ParallelMap
from coatcheck_worker.ticker import Tick, Ticker
from tests.simulation.faults import ODD
from tests.simulation.scheduler import Process
from tests.simulation.world import World

R = TypeVar("R")
V = TypeVar("V")

SWEEP_THREADS = 4


def heartbeat(world: World, process: Process) -> Ticker:
    """The pace of the hearts of a process, in virtual time."""
    tick = world.chance.randint(500, 4000)

    @contextmanager
    def ticker(look: Tick) -> Iterator[None]:
        quiet = looking = False

        def beat() -> None:
            nonlocal looking
            while not quiet:
                looking = True
                try:
                    look()
                except ODD:
                    # a thread ends with what it does not catch, and nobody hears of it
                    return
                finally:
                    looking = False
                world.sleep(tick)

        def begin() -> None:
            if not quiet and process.alive:
                world.scheduler.spawn(process, beat)

        world.scheduler.at(world.now + tick, begin)
        try:
            yield
        finally:
            quiet = True
            while looking and process.alive:
                world.sleep(100)

    return ticker


def parallel_map(world: World, process: Process) -> ParallelMap:
    """Four lines of execution of a process, in whatever order their calls are answered."""

    def run(function: Callable[[V], R], values: Sequence[V], /) -> Sequence[R]:
        waiting, left = world.scheduler.current, deque(enumerate(values))
        answers: dict[int, R] = {}
        failed: list[Exception] = []
        threads = range(min(SWEEP_THREADS, len(values)))
        running = len(threads)

        def work() -> None:
            nonlocal running
            try:
                while left:
                    place, value = left.popleft()
                    answers[place] = function(value)
            except Exception as error:  # noqa: BLE001 - it is raised where all are awaited
                failed.append(error)
            running -= 1
            if not running:
                world.scheduler.wake(waiting, world.now)

        for _ in threads:
            world.scheduler.spawn(process, work)
        if running:
            world.scheduler.wait(None)
        if failed:
            raise failed[0]
        return [answers[place] for place in range(len(values))]

    return run
