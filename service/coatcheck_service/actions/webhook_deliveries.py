"""Lists the webhook deliveries of a job or of endpoint tests, and sends them again."""

from __future__ import annotations

from dataclasses import replace
from itertools import takewhile

from pydantic import BaseModel, ConfigDict, Field

from coatcheck.core.api.models import Listing
from coatcheck.core.api.webhook_models import DeliveryView
from coatcheck.core.api.webhook_views import delivery_view
from coatcheck.core.audit import AuditRecord
from coatcheck.core.aws.audited import audited
from coatcheck.core.aws.dynamodb import webhook_items as table
from coatcheck.core.aws.enqueue import enqueue_delivery
from coatcheck.core.aws.flow import run_async
from coatcheck.core.clock import DAY, rfc3339
from coatcheck.core.errors import ChangedMeanwhile, FieldError, NotFound
from coatcheck.core.flows.notify import send_or_log
from coatcheck.core.ids import is_id, make_id
from coatcheck.core.job import Job
from coatcheck.core.pack import to_json
from coatcheck.core.sanitize import quoted
from coatcheck.core.webhooks import (
    DELIVERY_RETENTION,
    TEST_EVENT,
    Delivery,
    DeliveryKey,
    DeliveryStatus,
    WebhookEndpoint,
    delivery_id,
)
from coatcheck_service.actions.tenant_limits import charge_webhook_test
from coatcheck_service.dependencies import Dependencies
from coatcheck_service.http.authentication import RequestContext
from coatcheck_service.http.field_errors import invalid_request
from coatcheck_service.http.page_size import PageBudget

MAX_TRIES = 5
"""Attempts to update a delivery. The deliverer writes to it too, so what was read may be out of date."""

TEST_RETENTION = 7 * DAY
"""Milliseconds that the delivery of a test is kept: longer than it may be retried."""


class DeliveryQuery(BaseModel):
    """Which deliveries to list."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    limit: int = Field(default=25, ge=1, le=50, description="deliveries on a page, at most")
    after: str | None = Field(default=None, max_length=200, description="`next` of the page before")


async def list_deliveries(
    context: RequestContext, source: Job | WebhookEndpoint, query: DeliveryQuery
) -> Listing[DeliveryView]:
    """Return a page of the deliveries of a job, or of an endpoint's tests. Raises InvalidRequest for a bad cursor."""
    if query.after is not None and not is_id("dlv", query.after):
        raise invalid_request([FieldError("/after", "must be the `next` of a list of deliveries")])
    page = await context.dependencies.transport.send(
        table.list_deliveries(
            context.dependencies.table,
            context.tenant,
            source.id,
            made=source.created_at,
            limit=query.limit,
            after=query.after,
        )
    )
    now, budget = context.dependencies.clock(), PageBudget(context.front_door)
    views = {one.key.id: delivery_view(one) for one in page.deliveries if one.keep_until > now}
    # the next page continues by id, not by age
    shown_ids = list(takewhile(lambda which: budget.fits(views[which]), sorted(views)))
    page_views = [view for which, view in views.items() if which in shown_ids]
    return Listing(data=page_views, next=page.next if len(page_views) == len(views) else shown_ids[-1])


async def resend(context: RequestContext, source: Job | WebhookEndpoint, which: str) -> Delivery:
    """Restart the schedule of a delivery, unless an attempt is in flight or due.

    Raises NotFound, TooManyWebhookTests and ChangedMeanwhile.
    """
    dependencies = context.dependencies
    charged = False
    for _ in range(MAX_TRIES):
        delivery = await _find(context, source, which)
        now = dependencies.clock()
        if _in_flight(delivery, now):
            return delivery
        if not charged:
            await charge_webhook_test(context)
            charged = True
        # the row must outlast the new schedule
        retention = TEST_RETENTION if delivery.event == TEST_EVENT else DELIVERY_RETENTION
        keep_until = max(delivery.keep_until, now + retention)
        restarted = replace(delivery, status=DeliveryStatus.PENDING, tries=0, keep_until=keep_until)
        call = table.update_delivery(dependencies.table, table.postponed(restarted, now, now=now))
        written = await dependencies.transport.send(audited(call, lambda new: _resent(new) if new else None))
        if written is not None:
            await _enqueue(dependencies, written)
            return written
    raise ChangedMeanwhile(f"Other requests keep changing {which}: try again.")


async def send_test(context: RequestContext, endpoint: WebhookEndpoint) -> Delivery:
    """Send an endpoint a test event, by the path of all other events. Raises TooManyWebhookTests."""
    await charge_webhook_test(context)
    dependencies, now = context.dependencies, context.dependencies.clock()
    event_id = make_id("evt", dependencies.entropy(16))
    body = {"type": TEST_EVENT, "timestamp": rfc3339(now), "data": {"endpoint": endpoint.id}}
    unscheduled = Delivery(
        key=DeliveryKey(context.tenant, endpoint.id, endpoint.created_at, delivery_id(event_id, endpoint.id)),
        event_id=event_id,
        event=TEST_EVENT,
        endpoint=endpoint.id,
        url=endpoint.url,
        body=to_json(body),
        created_at=now,
        keep_until=now + TEST_RETENTION,
        trace=context.trace,
    )
    delivery = table.postponed(unscheduled, now, now=now)
    call = table.put_delivery(dependencies.table, delivery, shards=dependencies.settings.due_shards)
    await dependencies.transport.send(audited(call, lambda is_new: _tested(delivery) if is_new else None))
    await _enqueue(dependencies, delivery)
    return delivery


def _resent(delivery: Delivery) -> AuditRecord:
    job = delivery.key.of if is_id("job", delivery.key.of) else None
    return AuditRecord(action="delivery.resent", tenant=delivery.key.tenant, job=job, target=delivery.key.id)


def _tested(delivery: Delivery) -> AuditRecord:
    return AuditRecord(action="endpoint.tested", tenant=delivery.key.tenant, target=delivery.endpoint)


async def _find(context: RequestContext, source: Job | WebhookEndpoint, which: str) -> Delivery:
    delivery = None
    if is_id("dlv", which):
        key = DeliveryKey(context.tenant, source.id, source.created_at, which)
        delivery = await context.dependencies.transport.send(table.get_delivery(context.dependencies.table, key))
    if delivery is None or delivery.keep_until <= context.dependencies.clock():
        raise NotFound(f"There is no delivery {quoted(which)} here (it may be too old to be kept).")
    return delivery


def _in_flight(delivery: Delivery, now: int) -> bool:
    """Whether an attempt is in flight or due."""
    at = delivery.next_attempt_at
    return delivery.trying_since is not None or (at is not None and at <= now)


async def _enqueue(dependencies: Dependencies, delivery: Delivery) -> None:
    message = enqueue_delivery(dependencies.settings, delivery)
    await run_async(dependencies.transport, send_or_log(message, delivery.key.id))
