"""Create a job's deliveries: each event that its row lists as not yet notified becomes one delivery per receiver."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from coatcheck.core import due
from coatcheck.core.aws.dynamodb import job_items, job_updates
from coatcheck.core.aws.dynamodb.keys import JobKey
from coatcheck.core.aws.dynamodb.transitions import TransitionRefused
from coatcheck.core.aws.dynamodb.webhook_items import list_endpoints, put_delivery
from coatcheck.core.aws.enqueue import enqueue_delivery
from coatcheck.core.aws.flow import run
from coatcheck.core.flows.artifacts import all_artifacts
from coatcheck.core.job import Job
from coatcheck.core.messages import JobMessage
from coatcheck.core.webhooks import (
    DELIVERY_RETENTION,
    Delivery,
    DeliveryKey,
    delivery_id,
    endpoint_id_for,
    event_id,
    future_events,
    pending_events,
    within_host_limit,
)
from coatcheck_worker.dependencies import Ack, Dependencies, Disposition, Redeliver
from coatcheck_worker.webhooks.event_body import event_body


@dataclass(frozen=True, slots=True)
class Subscriber:
    """A receiver, and the events that it subscribes to."""

    endpoint: str
    url: str
    events: tuple[str, ...]


def create_deliveries(
    dependencies: Dependencies, message: JobMessage, *, attempt: Callable[[Delivery], bool] = lambda _: False
) -> Disposition:
    """Create the deliveries of a job's events, then record in its row that they were created. Raises AwsError.

    Each gets a message. If only one is created, `attempt` may make its first attempt instead, and returns whether it
    did: several would wait for each other.

    It may end anywhere and be run again: the ids of events and deliveries are derived, not random.
    """
    table = dependencies.settings.table
    job = dependencies.transport.send(job_items.get_job(table, JobKey(message.tenant, message.job)))
    # a job whose retention is over is still notified; a deleted job has no events
    if job is None or not pending_events(job):
        return Ack()
    subscribers = list(_subscribers(dependencies, job))
    created = [
        delivery
        for event in pending_events(job)
        for delivery in _create_for_event(dependencies, job, event, [one for one in subscribers if event in one.events])
    ]
    alone = created.pop() if len(created) == 1 else None
    for delivery in created:
        dependencies.transport.send(enqueue_delivery(dependencies.settings, delivery))
    recorded = dependencies.transport.send(job_updates.mark_notified(table, job, remaining=future_events(job)))
    if alone is not None and not attempt(alone):
        dependencies.transport.send(enqueue_delivery(dependencies.settings, alone))
    # another deliverer has recorded less than was created here: the rest has to be recorded too
    missed = isinstance(recorded, TransitionRefused) and recorded.job is not None and pending_events(recorded.job)
    return Redeliver(0) if missed else Ack()


def _subscribers(dependencies: Dependencies, job: Job) -> Iterator[Subscriber]:
    endpoints = dependencies.transport.send(list_endpoints(dependencies.settings.table, job.tenant))
    listening = [one for one in endpoints if one.enabled and one.created_at <= job.created_at]
    for one in within_host_limit(listening):
        yield Subscriber(one.id, one.url, one.events)
    if job.webhook is not None:
        url = job.webhook["url"]
        yield Subscriber(endpoint_id_for(job.tenant, url), url, tuple(job.webhook["events"]))


def _create_for_event(
    dependencies: Dependencies, job: Job, event: str, subscribers: list[Subscriber]
) -> Iterator[Delivery]:
    """Create a delivery for each receiver of one event. One that existed before has had its message."""
    if not subscribers:
        return
    table, now = dependencies.settings.table, dependencies.clock()
    artifacts = run(dependencies.transport, all_artifacts(table, job))
    body, this_event_id = event_body(job, event, artifacts), event_id(job, event)
    for subscriber in subscribers:
        delivery = Delivery(
            key=DeliveryKey(job.tenant, job.id, job.created_at, delivery_id(this_event_id, subscriber.endpoint)),
            event_id=this_event_id,
            event=event,
            endpoint=subscriber.endpoint,
            url=subscriber.url,
            body=body,
            created_at=now,
            keep_until=max(job.expires_at or 0, now + DELIVERY_RETENTION),
            due_at=due.for_dispatch(now=now, start_at=None, queue_deadline=None, dispatches=0),
            trace=job.trace,
        )
        if dependencies.transport.send(put_delivery(table, delivery, shards=dependencies.settings.due_shards)):
            yield delivery
