"""Dead letters: what each is about now, and what is done with it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType

from coatcheck.core.audit import AuditRecord, record
from coatcheck.core.aws.call import Call
from coatcheck.core.aws.dynamodb import job_items
from coatcheck.core.aws.dynamodb.compatibility import NewerRow
from coatcheck.core.aws.dynamodb.keys import JobKey
from coatcheck.core.aws.dynamodb.webhook_items import get_delivery
from coatcheck.core.aws.flow import Flow, send
from coatcheck.core.aws.sqs import ReceivedMessage, delete, send_delivery, send_job
from coatcheck.core.job import Job
from coatcheck.core.messages import BadMessage, DeliveryMessage, JobMessage, NewerMessage, parse_webhook_message
from coatcheck.core.settings import WEBHOOKS, Settings
from coatcheck.core.webhooks import Delivery, DeliveryKey, DeliveryStatus, pending_events


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


@dataclass(frozen=True, slots=True)
class Action:
    """What is done with a dead letter, and the summary's phrase for it, with a place for the count."""

    phrase: str
    sends: bool = False
    deletes: bool = False


REDRIVEN = Action("redriven {}", sends=True, deletes=True)
DISCARDED = Action("discarded {}", deletes=True)

# a needless dispatch does no harm: a job whose row only newer workers can read is dispatched for them
DEFAULT_ACTIONS: Mapping[DeadLetterKind, Action] = MappingProxyType(
    {
        DeadLetterKind.UNFINISHED: REDRIVEN,
        DeadLetterKind.NEWER_ROW: REDRIVEN,
        DeadLetterKind.FINISHED: Action("dropped {} that are finished", deletes=True),
        DeadLetterKind.UNREADABLE: Action("left {} that cannot be read"),
        DeadLetterKind.NOT_THERE: Action("left {} whose row is not there"),
        DeadLetterKind.NEWER_MESSAGE: Action("left {} of a newer version"),
    }
)
DROP_UNREADABLE_ACTIONS: Mapping[DeadLetterKind, Action] = MappingProxyType(
    {
        **DEFAULT_ACTIONS,
        DeadLetterKind.UNREADABLE: Action("dropped {} that cannot be read", deletes=True),
        DeadLetterKind.NOT_THERE: Action("dropped {} whose row is not there", deletes=True),
    }
)


def classify(table: str, lane: str, received: ReceivedMessage) -> Flow[DeadLetterMessage]:
    """Find what a message of a lane's dead-letter queue is about."""
    try:
        message = (parse_webhook_message if lane == WEBHOOKS else JobMessage.parse)(received.body)
    except BadMessage:
        return DeadLetterMessage(lane, received, DeadLetterKind.UNREADABLE)
    except NewerMessage:
        return DeadLetterMessage(lane, received, DeadLetterKind.NEWER_MESSAGE)
    if isinstance(message, DeliveryMessage):
        return (yield from _of_delivery(table, received, message))
    return (yield from _of_job(table, lane, received, message))


def _of_job(table: str, lane: str, received: ReceivedMessage, message: JobMessage) -> Flow[DeadLetterMessage]:
    try:
        job = yield from send(job_items.get_job(table, JobKey(message.tenant, message.job)))
    except NewerRow:
        return DeadLetterMessage(lane, received, DeadLetterKind.NEWER_ROW, message)
    if job is None:
        return DeadLetterMessage(lane, received, DeadLetterKind.NOT_THERE, message)
    unfinished = bool(pending_events(job)) if lane == WEBHOOKS else not job.done
    kind = DeadLetterKind.UNFINISHED if unfinished else DeadLetterKind.FINISHED
    return DeadLetterMessage(lane, received, kind, message, job)


def _of_delivery(table: str, received: ReceivedMessage, message: DeliveryMessage) -> Flow[DeadLetterMessage]:
    key = DeliveryKey(message.tenant, message.of, message.made, message.delivery)
    delivery = yield from send(get_delivery(table, key))
    if delivery is None:
        return DeadLetterMessage(WEBHOOKS, received, DeadLetterKind.NOT_THERE, message)
    kind = DeadLetterKind.UNFINISHED if delivery.status is DeliveryStatus.PENDING else DeadLetterKind.FINISHED
    return DeadLetterMessage(WEBHOOKS, received, kind, message, delivery=delivery)


def perform(settings: Settings, letter: DeadLetterMessage, action: Action) -> Flow[None]:
    """Do with a dead letter what `action` says. It is deleted only after its successor was sent."""
    if action.sends and letter.message:
        yield from send(_send_back(settings, letter.lane, letter.message))
    if action.deletes:
        yield from send(delete(letter.received))
        record(_record_of(letter, action))


def _send_back(settings: Settings, lane: str, message: JobMessage | DeliveryMessage) -> Call[None]:
    queue_url = settings.queues[lane]
    return send_delivery(queue_url, message) if isinstance(message, DeliveryMessage) else send_job(queue_url, message)


def _record_of(letter: DeadLetterMessage, action: Action) -> AuditRecord:
    message = letter.message
    return AuditRecord(
        action="dead_letter.redriven" if action.sends else "dead_letter.discarded",
        tenant=message.tenant if message else None,
        job=letter.subject,
        target=letter.received.message_id,
    )
