"""Build what operators are shown from the values of the core. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from coatcheck.core.api.admin_models import (
    AdminJobDetail,
    AdminJobView,
    DeadLetterView,
    QueueView,
    StuckJobView,
    StuckReason,
)
from coatcheck.core.api.views import NumberedEvent, event_view, job_view
from coatcheck.core.aws.sqs import QueueCounts
from coatcheck.core.clock import SECOND, rfc3339
from coatcheck.core.flows.dead_letters import DeadLetterKind, DeadLetterMessage
from coatcheck.core.job import Job
from coatcheck.core.messages import DeliveryMessage
from coatcheck.core.slots import UNTIMED

PREVIEW_CHARACTERS = 200
"""Characters of an unreadable message that are shown."""


def admin_job_view(job: Job, base_url: str) -> AdminJobView:
    """A job as operators see it in a list. `base_url` is the service without /v1."""
    return AdminJobView(
        tenant=job.tenant,
        lane=job.lane,
        due_at=None if job.due_at is None or job.due_at >= UNTIMED else rfc3339(job.due_at),
        lease_until=None if job.lease_until is None else rfc3339(job.lease_until),
        job=job_view(job, (), base_url),
    )


def admin_job_detail(job: Job, events: Sequence[NumberedEvent], base_url: str) -> AdminJobDetail:
    """A job as operators see it by itself."""
    shown = [event_view(one, job.id, base_url) for one in events]
    return AdminJobDetail(**dict(admin_job_view(job, base_url)), events=shown)


def stuck_job_view(job: Job, reason: StuckReason, overdue: int, base_url: str) -> StuckJobView:
    """A job for which the sweeper is late by `overdue` milliseconds, as operators see it."""
    seconds = max(0, overdue) // SECOND
    return StuckJobView(**dict(admin_job_view(job, base_url)), reason=reason, overdue_seconds=seconds)


def queue_view(counts: QueueCounts) -> QueueView:
    """The counts of a queue as operators see them."""
    return QueueView(waiting=counts.waiting, in_flight=counts.in_flight, delayed=counts.delayed)


def dead_letter_view(letter: DeadLetterMessage) -> DeadLetterView:
    """A dead letter as operators see it."""
    received, message = letter.received, letter.message
    source = letter.job or letter.delivery
    return DeadLetterView(
        lane=letter.lane,
        message_id=received.message_id,
        sent_at=rfc3339(received.sent_at),
        receives=received.receive_count,
        reason=received.reason,
        kind=letter.kind,
        tenant=message.tenant if message else None,
        job=letter.subject,
        delivery=message.delivery if isinstance(message, DeliveryMessage) else None,
        status=str(source.status) if source else None,
        body=preview(received.body) if letter.kind is DeadLetterKind.UNREADABLE else None,
    )


def preview(body: str) -> str:
    """The first printable characters of a message that cannot be read."""
    return "".join(filter(str.isprintable, body))[:PREVIEW_CHARACTERS]
