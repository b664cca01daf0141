"""What was sent for a job, or to try an endpoint, and sending it again."""

from __future__ import annotations

from dataclasses import replace
from itertools import takewhile

from pydantic import BaseModel, ConfigDict, Field

from coatcheck.calls import Call
from coatcheck.clock import DAY, rfc3339
from coatcheck.deployment import WEBHOOKS
from coatcheck.errors import ChangedMeanwhile, Flaw, NotFound
from coatcheck.ids import is_id, make_id
from coatcheck.messages import DeliveryMessage
from coatcheck.pack import to_json
from coatcheck.queues import send_delivery
from coatcheck.record import Job
from coatcheck.table import webhooks as table
from coatcheck.webhook_views import delivery_view
from coatcheck.webhooks import KEPT_FOR, TEST_EVENT, Delivery, DeliveryKey, DeliveryStatus, Endpoint, delivery_id
from coatcheck.wire import Listing
from coatcheck.wire_webhooks import DeliveryView
from service.caller import Caller
from service.flaws import refused
from service.pages import Room
from service.tools import Tools
from service.waking import wake

TRIES = 5
"""The deliverer writes to a delivery too: what was read a moment ago may be out of date."""

TESTS_KEPT = 7 * DAY
"""How long the delivery of a test is kept, in milliseconds: longer than it may be retried."""


class DeliveryQuery(BaseModel):
    """Which deliveries to list."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    limit: int = Field(default=25, ge=1, le=50, description="deliveries on a page, at most")
    after: str | None = Field(default=None, max_length=200, description="`next` of the page before")


async def list_deliveries(caller: Caller, of: Job | Endpoint, query: DeliveryQuery) -> Listing[DeliveryView]:
    """A page of what was sent for a job, or to try an endpoint. Raises InvalidRequest for a cursor that is none."""
    if query.after is not None and not is_id("dlv", query.after):
        raise refused([Flaw("/after", "is not the `next` of a list of deliveries")])
    page = await caller.tools.aws.send(
        table.list_deliveries(
            caller.tools.table, caller.tenant, of.id, made=of.created_at, limit=query.limit, after=query.after
        )
    )
    now, room = caller.tools.clock(), Room(caller.tools.front_door)
    views = {one.key.id: delivery_view(one) for one in page.deliveries if one.keep_until > now}
    # the next page goes on by id, whatever is older
    fit = list(takewhile(lambda which: room.takes(views[which]), sorted(views)))
    shown = [view for which, view in views.items() if which in fit]
    return Listing(data=shown, next=page.next if len(shown) == len(views) else fit[-1])


async def resend(caller: Caller, of: Job | Endpoint, which: str) -> Delivery:
    """Begin the schedule of a delivery anew; one that is on its way at this moment is left alone.

    Raises NotFound and ChangedMeanwhile.
    """
    tools = caller.tools
    for _ in range(TRIES):
        delivery = await _find(caller, of, which)
        now = tools.clock()
        if _on_its_way(delivery, now):
            return delivery
        # a schedule is begun that must not outlast it
        kept = TESTS_KEPT if delivery.event == TEST_EVENT else KEPT_FOR
        keep_until = max(delivery.keep_until, now + kept)
        anew = replace(delivery, status=DeliveryStatus.PENDING, tries=0, keep_until=keep_until)
        written = await tools.aws.send(table.update_delivery(tools.table, table.postponed(anew, now, now=now)))
        if written is not None:
            await wake(tools, _message(tools, written), written.key.id)
            return written
    raise ChangedMeanwhile("The delivery changes too fast at the moment.")


async def send_test(caller: Caller, endpoint: Endpoint) -> Delivery:
    """Send an endpoint an event that says nothing, in the way that all go."""
    tools, now = caller.tools, caller.tools.clock()
    event_id = make_id("evt", tools.entropy(16))
    body = {"type": TEST_EVENT, "timestamp": rfc3339(now), "data": {"endpoint": endpoint.id}}
    fresh = Delivery(
        key=DeliveryKey(caller.tenant, endpoint.id, endpoint.created_at, delivery_id(event_id, endpoint.id)),
        event_id=event_id,
        event=TEST_EVENT,
        endpoint=endpoint.id,
        url=endpoint.url,
        body=to_json(body),
        created_at=now,
        keep_until=now + TESTS_KEPT,
    )
    delivery = table.postponed(fresh, now, now=now)
    await tools.aws.send(table.put_delivery(tools.table, delivery, shards=tools.deployment.due_shards))
    await wake(tools, _message(tools, delivery), delivery.key.id)
    return delivery


async def _find(caller: Caller, of: Job | Endpoint, which: str) -> Delivery:
    delivery = None
    if is_id("dlv", which):
        key = DeliveryKey(caller.tenant, of.id, of.created_at, which)
        delivery = await caller.tools.aws.send(table.get_delivery(caller.tools.table, key))
    if delivery is None or delivery.keep_until <= caller.tools.clock():
        raise NotFound("There is no such delivery.")
    return delivery


def _on_its_way(delivery: Delivery, now: int) -> bool:
    """Whether an attempt is under way, or about to be made."""
    at = delivery.next_attempt_at
    return delivery.trying_since is not None or (at is not None and at <= now)


def _message(tools: Tools, delivery: Delivery) -> Call[None]:
    key = delivery.key
    message = DeliveryMessage(tenant=key.tenant, of=key.of, made=key.made, delivery=key.id, endpoint=delivery.endpoint)
    return send_delivery(tools.deployment.queues[WEBHOOKS], message)
