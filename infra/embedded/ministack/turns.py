"""How many environments a function may have, on a machine that has to run them all."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator

READILY = 4
FIRST_PATIENCE = 0.25
LATER_PATIENCE = 1.0
LOOK = 0.05


class Turns:
    """The calls of one function, each in an environment to itself.

    MiniStack starts an environment for every call that finds none free, and on a laptop a burst of cold starts
    makes each of them slower. Here calls wait for a free one, and one more is started at a time: readily up to
    four, beyond that only where no call ends, since all are held by waiting clients or long jobs.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._environments = 1
        self._running = 0
        self._starting = False
        self._last_end = time.monotonic()

    @contextlib.contextmanager
    def one(self) -> Iterator[None]:
        """Wait for the turn of a call, and take it."""
        came = time.monotonic()
        with self._changed:
            while self._running >= self._environments:
                if self._needs_another(came):
                    self._environments += 1
                    self._starting = True
                else:
                    self._changed.wait(LOOK)
            self._running += 1
        try:
            yield
        finally:
            with self._changed:
                self._running -= 1
                self._last_end = time.monotonic()
                self._changed.notify()

    def started(self) -> None:
        """An environment has been started, or could not be: the next one may."""
        with self._changed:
            self._starting = False

    def _needs_another(self, came: float) -> bool:
        if self._starting:
            return False
        now = time.monotonic()
        if self._environments < READILY:
            return now - came >= FIRST_PATIENCE
        return now - max(came, self._last_end) >= LATER_PATIENCE
