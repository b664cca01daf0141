"""Reads dead letters from their queue."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

from coatcheck.aws_transport.protocols import Transport
from coatcheck.core.aws.call import AwsError
from coatcheck.core.aws.sqs import ReceivedMessage, change_visibility, receive
from coatcheck.core.clock import MINUTE, SECOND, system_clock
from coatcheck_worker.sweep import dead_letters

VISIBILITY_TIMEOUT = 30
"""Seconds for which a received message is hidden from other receivers."""

IDLE_TIMEOUT = dead_letters.VISIBILITY_TIMEOUT + 2
"""Seconds without a new message after which a queue counts as read: longer than the sweeper hides a message."""

SKEW = MINUTE
"""Milliseconds that this machine's clock may be behind that of SQS."""


@dataclass(frozen=True, slots=True)
class Timing:
    """Clock and waits: `clock` in milliseconds since the epoch, `pause` and `idle_timeout` in seconds."""

    clock: Callable[[], int] = system_clock
    pause: Callable[[float], None] = time.sleep
    idle_timeout: int = IDLE_TIMEOUT


@dataclass
class QueueReader:
    """One pass through a dead-letter queue. Iterating yields once each message that was there at the start.

    It ends when `idle_timeout` has passed without such a message. Later messages are left for the next pass, so a pass
    ends even if messages keep arriving. Raises AwsError.
    """

    aws: Transport
    queue_url: str
    timing: Timing
    batch: int = 10
    _held: dict[str, ReceivedMessage] = field(default_factory=dict)

    def __iter__(self) -> Iterator[ReceivedMessage]:
        clock, idle_timeout = self.timing.clock, self.timing.idle_timeout
        seen: set[str] = set()
        began = last = clock()
        while True:
            found = self.aws.send(
                receive(self.queue_url, wait=idle_timeout, limit=self.batch, visibility_timeout=VISIBILITY_TIMEOUT)
            )
            self._held |= {received.message_id: received for received in found}
            fresh = [r for r in found if r.message_id not in seen and r.sent_at <= began + SKEW]
            seen.update(received.message_id for received in found)
            yield from fresh
            if fresh:
                last = clock()
            elif not found or clock() - last >= idle_timeout * SECOND:
                return

    def forget(self, received: ReceivedMessage) -> None:
        """Note that a message that was received has been deleted."""
        self._held.pop(received.message_id, None)

    def release(self) -> None:
        """Make messages that were not deleted visible again immediately.

        If AWS fails, they become visible after `VISIBILITY_TIMEOUT`.
        """
        with suppress(AwsError):
            for received in self._held.values():
                self.aws.send(change_visibility(received, 0))


@contextmanager
def read_queue(aws: Transport, queue_url: str, timing: Timing, *, batch: int = 10) -> Iterator[QueueReader]:
    """Read a queue, `batch` messages (1 to 10) at a time, and release the messages at the end."""
    made = QueueReader(aws, queue_url, timing, batch)
    try:
        yield made
    finally:
        made.release()
