"""From a job's row to its deliveries: what the row says is still to be told becomes one delivery for each receiver."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from coatcheck import due
from coatcheck.deployment import WEBHOOKS
from coatcheck.messages import JobMessage
from coatcheck.queues import send_delivery
from coatcheck.record import Job
from coatcheck.table import items, notes
from coatcheck.table.keys import JobKey
from coatcheck.table.moves import Refused
from coatcheck.table.webhooks import list_endpoints, put_delivery
from coatcheck.webhooks import (
    KEPT_FOR,
    Delivery,
    DeliveryKey,
    delivery_id,
    endpoint_id_for,
    event_id,
    still_to_come,
    unannounced,
)
from worker.tools import Again, Done, Tools, Verdict
from worker.webhooks.body import body_of
from worker.webhooks.wake import message_of


@dataclass(frozen=True, slots=True)
class Receiver:
    """Who wants to be told, and of what."""

    endpoint: str
    url: str
    events: tuple[str, ...]


def announce(tools: Tools, message: JobMessage) -> Verdict:
    """Make the deliveries of a job's events, then note in its row that they were made. Raises AwsError.

    It may end anywhere and be done again: events and deliveries have the ids that follow from what they are.
    """
    table = tools.deployment.table
    job = tools.aws.send(items.get_job(table, JobKey(message.tenant, message.job)))
    # one whose retention is over is told of all the same, and one that was deleted has nothing to tell
    if job is None or not unannounced(job):
        return Done()
    receivers = list(_receivers(tools, job))
    for event in unannounced(job):
        _deliver(tools, job, event, [one for one in receivers if event in one.events])
    noted = tools.aws.send(notes.announce(table, job, left=still_to_come(job)))
    # another one has noted less than was made here: that this is all has to be noted as well
    missed = isinstance(noted, Refused) and noted.job is not None and unannounced(noted.job)
    return Again(0) if missed else Done()


def _receivers(tools: Tools, job: Job) -> Iterator[Receiver]:
    for one in tools.aws.send(list_endpoints(tools.deployment.table, job.tenant)):
        if one.enabled and one.created_at <= job.created_at:
            yield Receiver(one.id, one.url, one.events)
    if job.webhook is not None:
        url = job.webhook["url"]
        yield Receiver(endpoint_id_for(job.tenant, url), url, tuple(job.webhook["events"]))


def _deliver(tools: Tools, job: Job, event: str, receivers: list[Receiver]) -> None:
    """Make a delivery for each receiver of one event. One that was made before has had its message."""
    if not receivers:
        return
    table, now = tools.deployment.table, tools.clock()
    artifacts = tools.aws.send(items.get_artifacts(table, job)) if job.artifact_count else ()
    body, named = body_of(job, event, artifacts), event_id(job, event)
    for receiver in receivers:
        delivery = Delivery(
            key=DeliveryKey(job.tenant, job.id, job.created_at, delivery_id(named, receiver.endpoint)),
            event_id=named,
            event=event,
            endpoint=receiver.endpoint,
            url=receiver.url,
            body=body,
            created_at=now,
            keep_until=max(job.expires_at or 0, now + KEPT_FOR),
            due_at=due.for_dispatch(now=now, start_at=None, queue_deadline=None, dispatches=0),
        )
        if tools.aws.send(put_delivery(table, delivery, shards=tools.deployment.due_shards)):
            tools.aws.send(send_delivery(tools.deployment.queues[WEBHOOKS], message_of(delivery)))
