"""The pass over deliveries: one that is overdue gets another message."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from functools import partial

from coatcheck import due
from coatcheck.clock import HOUR
from coatcheck.deployment import WEBHOOKS
from coatcheck.due import DISPATCH_GRACE
from coatcheck.queues import send_delivery
from coatcheck.table.webhooks import get_delivery, update_delivery
from coatcheck.webhooks import Delivery, DeliveryKey
from worker.sweep.pages import DuePages
from worker.sweep.rows import in_time
from worker.tools import Tools
from worker.webhooks.wake import message_of


def attend_to(tools: Tools, pages: DuePages[DeliveryKey], *, until: int, part: float) -> Counter[str]:  # noqa: ARG001 - one form for all passes
    """Attend to the deliveries of the pages until the time `until`."""
    done: Counter[str] = Counter()
    for keys in pages:
        done.update(tools.side_by_side(partial(in_time, tools, until, _attend), keys))
    return done


def _attend(tools: Tools, key: DeliveryKey) -> str:
    """Send a message for a delivery if it is due; says what was done. Raises AwsError."""
    delivery = tools.aws.send(get_delivery(tools.deployment.table, key))
    if delivery is None:
        return "gone"
    now = tools.clock()
    # due times are rounded down: a message now would find the attempt under way, and be of no use
    if delivery.due_at is None or delivery.due_at > now or delivery.under_way(now):
        return "early"
    delay = due.message_delay(now=now, start_at=delivery.try_at)
    if delay is not None:
        tools.aws.send(send_delivery(tools.deployment.queues[WEBHOOKS], message_of(delivery), delay=delay))
    tools.aws.send(update_delivery(tools.deployment.table, replace(delivery, due_at=_look_again(delivery, now))))
    return "early" if delay is None else "delivery woken"


def _look_again(delivery: Delivery, now: int) -> int:
    """When to look next: the later, the longer the delivery is overdue, so that no backlog is flooded with wake-ups."""
    start = delivery.trying_since or delivery.try_at or delivery.created_at
    if now - start < DISPATCH_GRACE:
        return due.for_dispatch(now=now, start_at=start, queue_deadline=None, dispatches=0)
    return now + min(now - start, HOUR)
