"""Dead letters as they lie in their queue, and what the table says of their jobs and deliveries."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from enum import StrEnum

from coatcheck.calls import AwsError
from coatcheck.clock import MINUTE, SECOND
from coatcheck.deployment import WEBHOOKS
from coatcheck.messages import BadMessage, DeliveryMessage, JobMessage, NewerMessage
from coatcheck.queues import Received, delete, receive, show_again_in
from coatcheck.record import Job
from coatcheck.table import items
from coatcheck.table.keys import JobKey
from coatcheck.table.unknown import NewerRow
from coatcheck.table.webhooks import get_delivery
from coatcheck.webhooks import Delivery, DeliveryKey, DeliveryStatus, unannounced
from worker.aws import Aws
from worker.sweep import dead_letters
from worker.tools import system_clock
from worker.webhooks.inbox import parse

HOLD = 30
"""Seconds that a message which is looked at is hidden from others."""

PATIENCE = dead_letters.HOLD + 2
"""Seconds without anything new after which a queue has been read: longer than the sweeper hides a message."""

SKEW = MINUTE
"""Milliseconds that the clock here may be behind that of SQS."""


class Kind(StrEnum):
    """What a dead letter is, as the owner reads it. One is finished when there is nothing left to wake for."""

    UNFINISHED = "unfinished"
    FINISHED = "finished"
    NOT_THERE = "not there"
    NEWER_ROW = "newer version"
    NEWER_MESSAGE = "newer message"
    UNREADABLE = "cannot be read"


@dataclass(frozen=True, slots=True)
class Letter:
    """A dead letter of a lane: the message in it where it can be read, and its job or delivery as the row says now."""

    lane: str
    received: Received
    kind: Kind
    message: JobMessage | DeliveryMessage | None = None
    job: Job | None = None
    delivery: Delivery | None = None

    @property
    def of(self) -> str | None:
        """The job that it is about; the endpoint, where it is about a test of one."""
        if isinstance(self.message, DeliveryMessage):
            return self.message.of
        return self.message.job if self.message else None


def look_up(aws: Aws, table: str, lane: str, received: Received) -> Letter:
    """What a message of a lane's dead-letter queue is. Raises AwsError."""
    try:
        message = (parse if lane == WEBHOOKS else JobMessage.parse)(received.body)
    except BadMessage:
        return Letter(lane, received, Kind.UNREADABLE)
    except NewerMessage:
        return Letter(lane, received, Kind.NEWER_MESSAGE)
    if isinstance(message, DeliveryMessage):
        return _of_delivery(aws, table, received, message)
    return _of_job(aws, table, lane, received, message)


def _of_job(aws: Aws, table: str, lane: str, received: Received, message: JobMessage) -> Letter:
    try:
        job = aws.send(items.get_job(table, JobKey(message.tenant, message.job)))
    except NewerRow:
        return Letter(lane, received, Kind.NEWER_ROW, message)
    if job is None:
        return Letter(lane, received, Kind.NOT_THERE, message)
    unfinished = bool(unannounced(job)) if lane == WEBHOOKS else not job.done
    return Letter(lane, received, Kind.UNFINISHED if unfinished else Kind.FINISHED, message, job)


def _of_delivery(aws: Aws, table: str, received: Received, message: DeliveryMessage) -> Letter:
    key = DeliveryKey(message.tenant, message.of, message.made, message.delivery)
    delivery = aws.send(get_delivery(table, key))
    if delivery is None:
        return Letter(WEBHOOKS, received, Kind.NOT_THERE, message)
    kind = Kind.UNFINISHED if delivery.status is DeliveryStatus.PENDING else Kind.FINISHED
    return Letter(WEBHOOKS, received, kind, message, delivery=delivery)


@dataclass(frozen=True, slots=True)
class Timing:
    """How time passes: `clock` in milliseconds since the epoch, `pause` and `patience` in seconds."""

    clock: Callable[[], int] = system_clock
    pause: Callable[[float], None] = time.sleep
    patience: int = PATIENCE


@dataclass
class Reading:
    """One pass through a dead-letter queue. Iterating gives each message once that was there when it began.

    It ends when `patience` has passed without one: what arrives meanwhile is left for the next time, so that it ends
    even where messages keep arriving. Nothing is taken away but by `remove`. Raises AwsError.
    """

    aws: Aws
    queue_url: str
    timing: Timing
    batch: int = 10
    _held: dict[str, Received] = field(default_factory=dict)

    def __iter__(self) -> Iterator[Received]:
        clock, patience = self.timing.clock, self.timing.patience
        seen: set[str] = set()
        began = last = clock()
        while True:
            found = self.aws.send(receive(self.queue_url, wait=patience, limit=self.batch, hold=HOLD))
            self._held |= {received.message_id: received for received in found}
            fresh = [r for r in found if r.message_id not in seen and r.sent_at <= began + SKEW]
            seen.update(received.message_id for received in found)
            yield from fresh
            if fresh:
                last = clock()
            elif not found or clock() - last >= patience * SECOND:
                return

    def remove(self, received: Received) -> None:
        """Delete a message that was read."""
        self.aws.send(delete(received))
        self._held.pop(received.message_id, None)

    def let_go(self) -> None:
        """Let others receive at once what was read and not removed. Without AWS they do when the hold has passed."""
        with suppress(AwsError):
            for received in self._held.values():
                self.aws.send(show_again_in(received, 0))


@contextmanager
def reading(aws: Aws, queue_url: str, timing: Timing, *, batch: int = 10) -> Iterator[Reading]:
    """A pass through a queue, `batch` messages (1 to 10) at a time, that hides nothing when it is over."""
    made = Reading(aws, queue_url, timing, batch)
    try:
        yield made
    finally:
        made.let_go()
