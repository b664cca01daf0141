"""The pass over deliveries: an overdue delivery gets another message."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from functools import partial

from coatcheck.core import due
from coatcheck.core.aws.dynamodb.webhook_items import get_delivery, update_delivery
from coatcheck.core.aws.enqueue import enqueue_delivery
from coatcheck.core.clock import HOUR
from coatcheck.core.due import DISPATCH_GRACE
from coatcheck.core.webhooks import Delivery, DeliveryKey
from coatcheck_worker.dependencies import Dependencies
from coatcheck_worker.sweep.due_pages import DuePages
from coatcheck_worker.sweep.due_rows import in_time


def process_due(
    dependencies: Dependencies,
    pages: DuePages[DeliveryKey],
    *,
    until: int,
    fraction: float,  # noqa: ARG001 - one signature for all passes
) -> Counter[str]:
    """Process the deliveries of the pages until the time `until`."""
    done: Counter[str] = Counter()
    for keys in pages:
        done.update(dependencies.parallel_map(partial(in_time, dependencies, until, _process_delivery), keys))
    return done


def _process_delivery(dependencies: Dependencies, key: DeliveryKey) -> str:
    """Send a message for a delivery if it is due. Returns what was done. Raises AwsError."""
    delivery = dependencies.transport.send(get_delivery(dependencies.settings.table, key))
    if delivery is None:
        return "gone"
    now = dependencies.clock()
    # due times are rounded down: a message now would find the attempt in progress, and be useless
    if delivery.due_at is None or delivery.due_at > now or delivery.attempt_in_progress(now):
        return "early"
    delay = due.message_delay(now=now, start_at=delivery.try_at)
    if delay is not None:
        dependencies.transport.send(enqueue_delivery(dependencies.settings, delivery, delay=delay))
    dependencies.transport.send(
        update_delivery(dependencies.settings.table, replace(delivery, due_at=_next_due_at(delivery, now)))
    )
    return "early" if delay is None else "delivery woken"


def _next_due_at(delivery: Delivery, now: int) -> int:
    """When to check again: the longer the delivery is overdue, the later, so that messages do not flood a backlog."""
    start = delivery.trying_since or delivery.try_at or delivery.created_at
    if now - start < DISPATCH_GRACE:
        return due.for_dispatch(now=now, start_at=start, queue_deadline=None, dispatches=0)
    return now + min(now - start, HOUR)
