"""Reads dead letters from their queue, with the state of their jobs and deliveries from the table."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from enum import StrEnum

from coatcheck.core.aws.call import AwsError
from coatcheck.core.aws.dynamodb import job_items
from coatcheck.core.aws.dynamodb.compatibility import NewerRow
from coatcheck.core.aws.dynamodb.keys import JobKey
from coatcheck.core.aws.dynamodb.webhook_items import get_delivery
from coatcheck.core.aws.sqs import ReceivedMessage, change_visibility, delete, receive
from coatcheck.core.clock import MINUTE, SECOND, system_clock
from coatcheck.core.job import Job
from coatcheck.core.messages import BadMessage, DeliveryMessage, JobMessage, NewerMessage
from coatcheck.core.settings import WEBHOOKS
from coatcheck.core.webhooks import Delivery, DeliveryKey, DeliveryStatus, pending_events
from coatcheck_worker.boto_transport import Transport
from coatcheck_worker.sweep import dead_letters
from coatcheck_worker.webhooks.webhook_messages import parse

VISIBILITY_TIMEOUT = 30
"""Seconds for which a received message is hidden from other receivers."""

IDLE_TIMEOUT = dead_letters.VISIBILITY_TIMEOUT + 2
"""Seconds without a new message after which a queue counts as read: longer than the sweeper hides a message."""

SKEW = MINUTE
"""Milliseconds that this machine's clock may be behind that of SQS."""


class DeadLetterKind(StrEnum):
    """The kind of a dead letter, as shown to the owner. It is finished when its job or delivery needs no dispatch."""

    UNFINISHED = "unfinished"
    FINISHED = "finished"
    NOT_THERE = "not there"
    NEWER_ROW = "newer version"
    NEWER_MESSAGE = "newer message"
    UNREADABLE = "cannot be read"


@dataclass(frozen=True, slots=True)
class DeadLetterMessage:
    """A dead letter of a lane: its message, if readable, and the present row of its job or delivery."""

    lane: str
    received: ReceivedMessage
    kind: DeadLetterKind
    message: JobMessage | DeliveryMessage | None = None
    job: Job | None = None
    delivery: Delivery | None = None

    @property
    def subject(self) -> str | None:
        """The id of the job that it is about, or of the endpoint if it is about an endpoint's test."""
        if isinstance(self.message, DeliveryMessage):
            return self.message.of
        return self.message.job if self.message else None


def classify(aws: Transport, table: str, lane: str, received: ReceivedMessage) -> DeadLetterMessage:
    """Classify a message of a lane's dead-letter queue. Raises AwsError."""
    try:
        message = (parse if lane == WEBHOOKS else JobMessage.parse)(received.body)
    except BadMessage:
        return DeadLetterMessage(lane, received, DeadLetterKind.UNREADABLE)
    except NewerMessage:
        return DeadLetterMessage(lane, received, DeadLetterKind.NEWER_MESSAGE)
    if isinstance(message, DeliveryMessage):
        return _of_delivery(aws, table, received, message)
    return _of_job(aws, table, lane, received, message)


def _of_job(aws: Transport, table: str, lane: str, received: ReceivedMessage, message: JobMessage) -> DeadLetterMessage:
    try:
        job = aws.send(job_items.get_job(table, JobKey(message.tenant, message.job)))
    except NewerRow:
        return DeadLetterMessage(lane, received, DeadLetterKind.NEWER_ROW, message)
    if job is None:
        return DeadLetterMessage(lane, received, DeadLetterKind.NOT_THERE, message)
    unfinished = bool(pending_events(job)) if lane == WEBHOOKS else not job.done
    return DeadLetterMessage(
        lane, received, DeadLetterKind.UNFINISHED if unfinished else DeadLetterKind.FINISHED, message, job
    )


def _of_delivery(aws: Transport, table: str, received: ReceivedMessage, message: DeliveryMessage) -> DeadLetterMessage:
    key = DeliveryKey(message.tenant, message.of, message.made, message.delivery)
    delivery = aws.send(get_delivery(table, key))
    if delivery is None:
        return DeadLetterMessage(WEBHOOKS, received, DeadLetterKind.NOT_THERE, message)
    kind = DeadLetterKind.UNFINISHED if delivery.status is DeliveryStatus.PENDING else DeadLetterKind.FINISHED
    return DeadLetterMessage(WEBHOOKS, received, kind, message, delivery=delivery)


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
    ends even if messages keep arriving. Only `remove` deletes a message. Raises AwsError.
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

    def remove(self, received: ReceivedMessage) -> None:
        """Delete a message that was received."""
        self.aws.send(delete(received))
        self._held.pop(received.message_id, None)

    def release(self) -> None:
        """Make messages that were not removed visible again immediately.

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
