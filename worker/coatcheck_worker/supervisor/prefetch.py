"""Messages that are received before a runner is free for them, so that runners of quick jobs do not wait for SQS."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence

from coatcheck.core.aws.sqs import MAX_BATCH, ReceivedMessage

MAX_WAIT = 1.0
"""Seconds that a message waits here at most. Then it is handed back: the runner of another worker may be free."""

EXPECTED_WAIT = MAX_WAIT / 2
"""Seconds within which the jobs of all that is received ahead are expected to begin."""

SAMPLE = 16
"""Jobs in turn that must have been quick before anything is received ahead. The slowest of them counts."""


class PrefetchBuffer:
    """The received messages of `runners` threads, each of which takes one and says when it is done.

    Nothing is received ahead until jobs were seen to be quick, and none for runners that are at a long one.
    """

    def __init__(self, runners: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._runners, self._clock = runners, clock
        lock = threading.Lock()
        self._arrived, self._has_room = threading.Condition(lock), threading.Condition(lock)
        self._waiting: deque[tuple[float, ReceivedMessage]] = deque()
        self._started: dict[str, float] = {}
        self._durations: deque[float] = deque(maxlen=SAMPLE)
        self._closed = False

    def room(self, timeout: float) -> int:
        """Return how many messages may be received now, at most a batch.

        Waits up to `timeout` seconds until it is one or more, or until one that waits is overdue.
        """
        with self._has_room:
            if not (room := self._room()) and not self._overdue():
                self._has_room.wait(timeout)
                room = self._room()
            return room

    def put(self, messages: Sequence[ReceivedMessage]) -> None:
        """Add what was received."""
        with self._arrived:
            now = self._clock()
            self._waiting.extend((now, message) for message in messages)
            self._arrived.notify(len(messages))

    def take(self) -> ReceivedMessage | None:
        """Wait for a message and take it. Returns None when the buffer is closed."""
        with self._arrived:
            while not self._waiting:
                if self._closed:
                    return None
                self._arrived.wait()
            message = self._waiting.popleft()[1]
            self._started[message.receipt_handle] = self._clock()
            self._tell_of_room()
            return message

    def done(self, message: ReceivedMessage) -> None:
        """The thread that took the message is done with it."""
        with self._has_room:
            self._durations.append(self._clock() - self._started.pop(message.receipt_handle))
            self._tell_of_room()

    def take_overdue(self) -> Sequence[ReceivedMessage]:
        """Take the messages that have waited too long. Jobs were not quick: nothing is received ahead for now."""
        with self._has_room:
            overdue = self._overdue()
            for _ in overdue:
                self._waiting.popleft()
            if overdue:
                self._durations.clear()
            return overdue

    def close(self) -> Sequence[ReceivedMessage]:
        """Let the threads end when they are done. Returns the messages that none has taken."""
        with self._arrived:
            self._closed = True
            left = [message for _, message in self._waiting]
            self._waiting.clear()
            self._arrived.notify_all()
            return left

    def _tell_of_room(self) -> None:
        # the thread that receives is not woken for nothing
        if self._room():
            self._has_room.notify()

    def _room(self) -> int:
        free = self._runners - len(self._started)
        if len(self._waiting) > free:
            return 0
        return min(free - len(self._waiting) + self._ahead(free), MAX_BATCH)

    def _ahead(self, free: int) -> int:
        if len(self._durations) < SAMPLE:
            return 0
        now = self._clock()
        quick = free + sum(now - started < MAX_WAIT for started in self._started.values())
        return int(quick * EXPECTED_WAIT / max(*self._durations, 0.001))

    def _overdue(self) -> list[ReceivedMessage]:
        received_by = self._clock() - MAX_WAIT
        return [message for received_at, message in self._waiting if received_at <= received_by]
