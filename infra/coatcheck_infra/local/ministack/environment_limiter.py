"""Limits the environments of a function, because one machine has to run them all."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator

EAGER_ENVIRONMENTS = 4
EAGER_WAIT = 0.25
RELUCTANT_WAIT = 1.0
POLL_INTERVAL = 0.05


class EnvironmentLimiter:
    """Limits the concurrent calls of one function; each call has an environment to itself.

    MiniStack starts an environment for every call that finds none free. On a laptop, a burst of cold starts makes each
    of them slower. Here calls wait for a free environment, and only one more is started at a time: soon up to four,
    beyond that only if no call ends, because waiting clients or long jobs hold them all.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._environments = 1
        self._running = 0
        self._starting = False
        self._last_end = time.monotonic()

    @contextlib.contextmanager
    def slot(self) -> Iterator[None]:
        """Wait for a free slot and hold it until the block ends."""
        arrived_at = time.monotonic()
        with self._changed:
            while self._running >= self._environments:
                if self._needs_another(arrived_at):
                    self._environments += 1
                    self._starting = True
                else:
                    self._changed.wait(POLL_INTERVAL)
            self._running += 1
        try:
            yield
        finally:
            with self._changed:
                self._running -= 1
                self._last_end = time.monotonic()
                self._changed.notify()

    def started(self) -> None:
        """Record that an environment has started or failed to start: the next one may start."""
        with self._changed:
            self._starting = False

    def _needs_another(self, arrived_at: float) -> bool:
        if self._starting:
            return False
        now = time.monotonic()
        if self._environments < EAGER_ENVIRONMENTS:
            return now - arrived_at >= EAGER_WAIT
        return now - max(arrived_at, self._last_end) >= RELUCTANT_WAIT
