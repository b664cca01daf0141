"""Threads of which one runs at a time, in virtual time, in an order that the seed decides alone.

A task gives way only where it waits: for a time, or for a wake-up. Who waits hands a baton straight to whoever is
next on the agenda, so that a task that follows itself costs no switch of threads.
"""

from __future__ import annotations

import asyncio
import heapq
import threading
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field

START = 1_800_000_000_000
"""The virtual time at which every schedule begins, in milliseconds since the epoch."""

Body = Callable[[], None]


class Killed(BaseException):
    """The process this code runs in is gone."""


@dataclass(eq=False)
class Process:
    """What dies as one, and has one clock: `offset` is how far it is ahead, in milliseconds.

    When it has died, `when_dead` are called, which must not wait.
    """

    name: str
    offset: int = 0
    alive: bool = True
    frozen_until: int = 0
    tasks: list[Task] = field(default_factory=list)
    when_dead: list[Body] = field(default_factory=list)


@dataclass(eq=False, slots=True)
class Task:
    """A line of execution of a process. `waits` counts its waits: a wake-up of an earlier one is void."""

    process: Process
    baton: threading.Lock
    waits: int = 0
    done: bool = False


class Threads:
    """Threads to run tasks on, kept from one schedule to the next: making them is what costs."""

    def __init__(self) -> None:
        self._idle: list[_Thread] = []
        self._loop = asyncio.new_event_loop()

    def take(self) -> _Thread:
        """A thread that waits for its baton."""
        return self._idle.pop() if self._idle else _Thread(self._idle, self._loop)

    def close(self) -> None:
        """Let the threads end. No schedule may be playing."""
        for thread in self._idle:
            thread.body = None
            thread.baton.release()
        self._loop.close()


class _Thread:
    """`loop` never runs: coroutines are driven by hand, and only those that ask what loop it is see it."""

    def __init__(self, idle: list[_Thread], loop: asyncio.AbstractEventLoop) -> None:
        self._idle, self._loop = idle, loop
        self.baton = threading.Lock()
        self.baton.acquire()
        self.body: Callable[[], Callable[[], None]] | None = None
        threading.Thread(target=self._run, name="simulation", daemon=True).start()

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        while True:
            self.baton.acquire()
            if self.body is None:
                return
            hand_over = self.body()
            self._idle.append(self)
            hand_over()


class Scheduler:
    """The agenda of one schedule. Every method but `run` is called by the task that has the baton."""

    def __init__(self, threads: Threads) -> None:
        self.now = START
        self.ended = False
        self.broken: str | None = None
        self._threads = threads
        self._agenda: list[tuple[int, int, Task | Body, int]] = []
        self._count = 0
        self._director = Task(Process("director"), threading.Lock())
        self._director.baton.acquire()
        self.current = self._director
        self._processes: list[Process] = []

    def run(self) -> None:
        """Go through the agenda until `end`, or until nothing is left on it; then unwind every task."""
        self._hand_over(self._director)
        self.ended = True
        for process in self._processes:
            process.alive = False
            for task in process.tasks:
                if not task.done:
                    self.current = task
                    task.baton.release()
                    self._director.baton.acquire()

    def end(self) -> None:
        """The schedule is over when the running task next waits."""
        self.ended = True

    def at(self, when: int, action: Body) -> None:
        """Call `action`, which must not wait, at a time."""
        self._push(when, action, 0)

    def spawn(self, process: Process, body: Body) -> Task:
        """Start a task of `process`."""
        thread = self._threads.take()
        task = Task(process, thread.baton)
        thread.body = lambda: self._run_task(task, body)
        if not process.tasks:
            self._processes.append(process)
        process.tasks.append(task)
        self._push(self.now, task, 0)
        return task

    def wait(self, until: int | None) -> None:
        """The running task waits, until a time or until it is woken (None). Raises Killed."""
        task = self.current
        if not task.process.alive:
            raise Killed
        task.waits += 1
        if until is not None:
            self._push(until, task, task.waits)
        self._hand_over(task)
        if not task.process.alive:
            raise Killed

    def wake(self, task: Task, at: int) -> None:
        """End the wait a task is in, at a time; void if it has ended by then."""
        self._push(max(at, self.now), task, task.waits)

    def kill(self, process: Process) -> None:
        """End a process with all its tasks. The running task sees to it itself when it is one of them."""
        process.alive = False
        for task in process.tasks:
            if not task.done and task is not self.current:
                self.wake(task, self.now)

    def _run_task(self, task: Task, body: Body) -> Body:
        try:
            if task.process.alive:
                body()
        except Killed:
            pass
        except BaseException:  # noqa: BLE001 - a bug must end the schedule, not hang it
            self._break()
        task.done = True
        return self._pass_on

    def _pass_on(self) -> None:
        following = self._next()
        self.current = following
        following.baton.release()

    def _hand_over(self, task: Task) -> None:
        following = self._next()
        self.current = following
        if following is not task:
            following.baton.release()
            task.baton.acquire()

    def _next(self) -> Task:
        while self._agenda and not self.ended:
            at, _, target, waits = heapq.heappop(self._agenda)
            if isinstance(target, Task):
                if target.done or waits != target.waits:
                    continue
                if at < target.process.frozen_until and target.process.alive:
                    self._push(target.process.frozen_until, target, waits)
                    continue
                self.now = max(self.now, at)
                return target
            self.now = max(self.now, at)
            self._run_action(target)
        return self._director

    def _run_action(self, action: Body) -> None:
        self.current = self._director
        try:
            action()
        except Exception:  # noqa: BLE001 - as above
            self._break()

    def _break(self) -> None:
        self.broken = self.broken or traceback.format_exc()
        self.ended = True

    def _push(self, at: int, target: Task | Body, waits: int) -> None:
        self._count += 1
        heapq.heappush(self._agenda, (at, self._count, target, waits))
