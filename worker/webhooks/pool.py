"""Threads that work off messages, of which one endpoint can hold only a part: who is slow holds up nobody else."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Self, TypeAlias

from coatcheck.calls import AwsError
from coatcheck.queues import Received
from worker.webhooks.inbox import endpoint_of

log = logging.getLogger(__name__)

Work: TypeAlias = Callable[[Received], object]


@dataclass(slots=True)
class _Line:
    """How many threads are at work for one endpoint, and what waits for one of them."""

    busy: int = 0
    waiting: deque[Received] = field(default_factory=deque)


class Pool:
    """So many `threads`, at most `share` of which `attend` to messages of one endpoint at a time.

    As many messages of each as `waiting` stay here until it is their turn; those beyond are left to `turn_away`.
    Leaving the block waits until all of them are attended to.
    """

    def __init__(self, threads: int, share: int, *, attend: Work, turn_away: Work, waiting: int) -> None:
        self._threads, self._share, self._most_waiting = threads, share, waiting
        self._attend, self._turn_away = attend, turn_away
        self._executor = ThreadPoolExecutor(threads, thread_name_prefix="webhooks")
        self._lines: dict[str, _Line] = {}
        self._busy = 0
        self._changed = threading.Condition()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._executor.shutdown()

    def room(self) -> int:
        """How many threads are free; waits until one is."""
        with self._changed:
            self._changed.wait_for(lambda: self._busy < self._threads)
            return self._threads - self._busy

    def take(self, received: Received) -> None:
        """Let a thread attend to a message, now or when it is its turn, or turn it away."""
        name = endpoint_of(received)
        work, line = self._attend, None
        with self._changed:
            if name is not None:
                line = self._lines.setdefault(name, _Line())
                if line.busy < self._share:
                    line.busy += 1
                elif len(line.waiting) < self._most_waiting:
                    line.waiting.append(received)
                    return
                else:
                    work, name = self._turn_away, None
            self._busy += 1
        self._executor.submit(self._run, work, name, received)

    def turn_away_waiting(self) -> None:
        """Turn away what waits for its turn: there will be none."""
        with self._changed:
            left = [received for line in self._lines.values() for received in line.waiting]
            for line in self._lines.values():
                line.waiting.clear()
        for received in left:
            _safely(self._turn_away, received)

    def _run(self, work: Work, name: str | None, received: Received | None) -> None:
        while received is not None:
            _safely(work, received)
            received = self._next(name)

    def _next(self, name: str | None) -> Received | None:
        """What the thread is to attend to next; None lets it go."""
        with self._changed:
            if name is not None:
                line = self._lines[name]
                if line.waiting:
                    return line.waiting.popleft()
                line.busy -= 1
                if not line.busy:
                    del self._lines[name]
            self._busy -= 1
            self._changed.notify()
            return None


def _safely(work: Work, received: Received) -> None:
    try:
        work(received)
    except AwsError as error:
        log.warning("message %s: %s; it will come again", received.message_id, error)
    except Exception:
        log.exception("message %s", received.message_id)
