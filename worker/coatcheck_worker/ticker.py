"""How the heartbeat of an attempt is timed: how often it renews the lease, and what calls it."""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from contextvars import copy_context
from dataclasses import dataclass, field

RENEWALS_PER_LEASE = 4
"""How often a lease is renewed in the time that it lasts."""

Tick = Callable[[], None]
Ticker = Callable[[Tick], AbstractContextManager[object]]
"""Calls a `Tick` again and again, in parallel to what runs in the context, until the context ends."""

TICK_SECONDS = 0.5
"""Seconds between two ticks."""

log = logging.getLogger(__name__)


@dataclass(eq=False, slots=True)
class _Ticking:
    """The ticks of one context, the first at `due`. `run` calls a function with the log context of who entered it."""

    tick: Tick
    run: Callable[[Tick], None]
    due: float
    lock: threading.Lock = field(default_factory=threading.Lock)
    over: bool = False
    ended: threading.Event | None = None
    thread: threading.Thread | None = None

    def start(self) -> None:
        """Tick in a thread of its own, unless the context has ended. Raises RuntimeError if there can be none."""
        with self.lock:
            if self.over:
                return
            self.ended = threading.Event()
            thread = threading.Thread(target=self.run, args=(self._tick_until_ended,), name="heartbeat", daemon=True)
            thread.start()
            self.thread = thread

    def tick_once(self) -> None:
        """Tick in this thread, unless the context has ended."""
        with self.lock:
            if not self.over:
                self.run(self.tick)

    def end(self) -> None:
        """Tick no more. Returns when the last tick has ended."""
        with self.lock:
            self.over = True
        if self.thread is not None and self.ended is not None:
            self.ended.set()
            self.thread.join()

    def _tick_until_ended(self) -> None:
        assert self.ended is not None
        self.tick()
        while not self.ended.wait(TICK_SECONDS):
            self.tick()


class ThreadTicker:
    """Ticks every `TICK_SECONDS`, for each context in a thread of its own: no tick waits for another's request to AWS.

    That thread starts with the first tick, so what ends sooner needs none. One thread more, the starter, waits for the
    first ticks of all contexts. May be used from several threads.
    """

    def __init__(self) -> None:
        self._added = threading.Condition()
        self._waiting: deque[_Ticking] = deque()
        self._starter: threading.Thread | None = None

    @contextmanager
    def __call__(self, tick: Tick) -> Iterator[None]:
        """Call `tick` until the context ends. Raises RuntimeError if the starter cannot be started."""
        # in a copy of this context, so that its log lines name the same job
        ticking = _Ticking(tick, copy_context().run, time.monotonic() + TICK_SECONDS)
        self._add(ticking)
        try:
            yield
        finally:
            ticking.end()

    def _add(self, ticking: _Ticking) -> None:
        with self._added:
            if self._starter is None:
                starter = threading.Thread(target=self._start_all, name="heartbeat-starter", daemon=True)
                starter.start()
                self._starter = starter
            self._waiting.append(ticking)
            if len(self._waiting) == 1:
                self._added.notify()

    def _start_all(self) -> None:
        while True:
            try:
                self._start(self._next())
            except Exception:
                # the leases of all jobs to come depend on this loop
                with contextlib.suppress(Exception):
                    log.exception("a heartbeat was not started; going on")
                time.sleep(TICK_SECONDS)

    def _next(self) -> _Ticking:
        """Wait for the first tick that is due. Those that wait are in the order of their first ticks."""
        with self._added:
            while True:
                while self._waiting and self._waiting[0].over:
                    self._waiting.popleft()
                wait = self._waiting[0].due - time.monotonic() if self._waiting else None
                if wait is not None and wait <= 0:
                    return self._waiting[0]
                self._added.wait(wait)

    def _start(self, ticking: _Ticking) -> None:
        try:
            ticking.start()
        except Exception as error:  # noqa: BLE001 - there may be no memory for a thread
            with contextlib.suppress(Exception):
                log.warning("a heartbeat has no thread of its own for now: %s", error)
            ticking.tick_once()
            ticking.due = time.monotonic() + TICK_SECONDS
            with self._added:
                self._waiting.rotate(-1)
        else:
            with self._added:
                self._waiting.popleft()
