"""Process a delivery's message: make the attempt that is due, if one is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from coatcheck.core import due
from coatcheck.core.aws.dynamodb.keys import JobKey
from coatcheck.core.aws.dynamodb.purge_marks import was_purged
from coatcheck.core.aws.dynamodb.webhook_items import (
    begin_attempt,
    delete_delivery,
    end_attempt,
    get_delivery,
    postponed,
    update_delivery,
    update_endpoint,
)
from coatcheck.core.clock import SECOND
from coatcheck.core.messages import DeliveryMessage
from coatcheck.core.metrics.definitions import WEBHOOK_ATTEMPTS, WEBHOOK_LAG, WEBHOOK_TIME, WEBHOOKS_GIVEN_UP
from coatcheck.core.metrics.recorder import record
from coatcheck.core.tracer import SpanKind, described
from coatcheck.core.webhooks import (
    SCHEDULE,
    TEST_EVENT,
    Delivery,
    DeliveryAttempt,
    DeliveryKey,
    DeliveryStatus,
    WebhookEndpoint,
    after_cooldown,
    next_attempt_time,
)
from coatcheck_worker.dependencies import Ack, Dependencies, Disposition, Redeliver
from coatcheck_worker.webhooks import endpoint_health
from coatcheck_worker.webhooks.delivery_context import DeliveryContext, is_for_job_url
from coatcheck_worker.webhooks.sender import HTTP_GONE

PROBE_TIME = 20 * SECOND
"""How long an endpoint stays paused while one attempt probes it, in milliseconds: longer than an attempt may take."""

INTERRUPTED = "interrupted: the deliverer ended while it waited for the answer"
DELETED = "deleted: the endpoint is no more"
DISABLED = "disabled: the endpoint is switched off"


def deliver(delivery_context: DeliveryContext, message: DeliveryMessage) -> Disposition:
    """Make one attempt, if it is time for one. Raises AwsError.

    It may end anywhere and be run again: the holder of an attempt records it in the delivery first.
    """
    dependencies = delivery_context.dependencies
    key = DeliveryKey(message.tenant, message.of, message.made, message.delivery)
    delivery = dependencies.transport.send(get_delivery(dependencies.settings.table, key))
    return Ack() if delivery is None else deliver_as_read(delivery_context, delivery)


def deliver_as_read(delivery_context: DeliveryContext, delivery: Delivery) -> Disposition:
    """As `deliver`, for a delivery that was just read or written. Raises AwsError."""
    dependencies = delivery_context.dependencies
    now = dependencies.clock()
    if not _is_open(dependencies, delivery, now):
        return Ack()
    if delivery.trying_since is not None:
        delivery = _with_lost_attempt(delivery)
    elif delivery.try_at is not None and delivery.try_at > now:
        return _wait_for(dependencies, delivery.try_at)
    endpoint = delivery_context.endpoint(delivery)
    if endpoint is None or not endpoint.enabled:
        return _fail_delivery(dependencies, delivery, _unsent(now, DELETED if endpoint is None else DISABLED))
    if delivery.tries >= len(SCHEDULE):
        return _fail_delivery(dependencies, delivery)
    rests_until = _rests_until(dependencies, endpoint)
    if rests_until is not None:
        return _postponed(dependencies, delivery, rests_until)
    return _try(delivery_context, replace(delivery, url=endpoint.url), endpoint)


def _is_open(dependencies: Dependencies, delivery: Delivery, now: int) -> bool:
    """Whether attempts are still to be made, and none is in progress."""
    if delivery.status is not DeliveryStatus.PENDING or delivery.attempt_in_progress(now):
        return False
    return delivery.tries > 0 or not _was_purged(dependencies, delivery)


def _was_purged(dependencies: Dependencies, delivery: Delivery) -> bool:
    """Remove a delivery that was created after its job was deleted; returns whether it was. Others went with it."""
    if delivery.event == TEST_EVENT:
        return False
    table, key = dependencies.settings.table, delivery.key
    purged = dependencies.transport.send(was_purged(table, JobKey(key.tenant, key.of), key.made))
    if purged:
        dependencies.transport.send(delete_delivery(table, key))
    return purged


def _rests_until(dependencies: Dependencies, endpoint: WebhookEndpoint) -> int | None:
    """Until when an endpoint is paused; None allows one attempt.

    After a pause, one delivery probes the endpoint for all: the first one to extend the pause.
    """
    now = dependencies.clock()
    if endpoint.resting_until is None or now < endpoint.resting_until:
        return endpoint.resting_until
    resting_on = replace(endpoint, resting_until=now + PROBE_TIME)
    ours = dependencies.transport.send(update_endpoint(dependencies.settings.table, resting_on)) is not None
    return None if ours else resting_on.resting_until


def _try(delivery_context: DeliveryContext, delivery: Delivery, endpoint: WebhookEndpoint) -> Disposition:
    dependencies = delivery_context.dependencies
    table, secrets = dependencies.settings.table, delivery_context.secrets(endpoint)
    begun = dependencies.transport.send(begin_attempt(table, delivery, now=dependencies.clock()))
    if begun is None:
        # another attempt has begun, or the sweeper that sent this message has postponed it: the row says which
        return Redeliver(0)
    attempt, retry_after = _attempt(delivery_context, begun, secrets)
    gone = attempt.status_code == HTTP_GONE
    now = dependencies.clock()
    next_at = (
        None if gone else next_attempt_time(begun.tries, now=now, roll=dependencies.roll(), retry_after=retry_after)
    )
    ended = dependencies.transport.send(end_attempt(table, begun, attempt, next_at=next_at))
    _count_attempt(delivery, attempt, ended)
    if not is_for_job_url(delivery):
        _update_health(dependencies, endpoint, attempt, gone=gone)
    if ended is None:
        # our own write whose reply was lost, or another deliverer took over: the row says what comes next
        return Redeliver(0)
    return Ack() if ended.try_at is None else _wait_for(dependencies, ended.try_at)


def _count_attempt(delivery: Delivery, attempt: DeliveryAttempt, ended: Delivery | None) -> None:
    failure = "unanswered" if attempt.status_code is None else "refused"
    outcome = "delivered" if attempt.succeeded else failure
    record(WEBHOOK_ATTEMPTS, 1, outcome)
    record(WEBHOOK_TIME, attempt.latency / SECOND, outcome)
    record(WEBHOOK_LAG, max(0, attempt.at - (delivery.try_at or delivery.created_at)) / SECOND, outcome)
    _count_given_up(ended)


def _count_given_up(written: Delivery | None) -> None:
    if written is not None and written.status is DeliveryStatus.FAILED:
        record(WEBHOOKS_GIVEN_UP, 1)


def _attempt(
    delivery_context: DeliveryContext, begun: Delivery, secrets: Sequence[str]
) -> tuple[DeliveryAttempt, int | None]:
    attributes = described(delivery=begun.key.id, event=begun.event, endpoint=begun.endpoint, tenant=begun.key.tenant)
    tracer = delivery_context.dependencies.tracer
    with tracer.span(f"webhook {begun.event}", SpanKind.CLIENT, begun.trace, attributes) as span:
        traced = replace(begun, trace=span.context)
        attempt, retry_after = delivery_context.sender.attempt(traced, secrets, now=begun.trying_since or 0)
        if not attempt.succeeded:
            span.fail(str(attempt.status_code or "no answer"))
        return attempt, retry_after


def _update_health(
    dependencies: Dependencies, endpoint: WebhookEndpoint, attempt: DeliveryAttempt, *, gone: bool
) -> None:
    if gone:
        endpoint_health.record_health(dependencies, endpoint, endpoint_health.after_gone)
    elif not attempt.succeeded:
        endpoint_health.record_health(dependencies, endpoint, endpoint_health.after_failure)
    elif endpoint.failures:
        endpoint_health.record_health(dependencies, endpoint, endpoint_health.after_success)


def _wait_for(dependencies: Dependencies, at: int) -> Disposition:
    """Use the same message again if the queue can delay it so long; otherwise the sweeper sends one."""
    delay = due.message_delay(now=dependencies.clock(), start_at=at)
    return Ack() if delay is None else Redeliver(max(delay, 1))


def _postponed(dependencies: Dependencies, delivery: Delivery, resting_until: int) -> Disposition:
    """The endpoint is paused: this uses up no attempt."""
    now = dependencies.clock()
    at = after_cooldown(delivery, resting_until, now=now, roll=dependencies.roll())
    later = replace(postponed(delivery, at, now=now), trying_since=None)
    dependencies.transport.send(update_delivery(dependencies.settings.table, later))
    return _wait_for(dependencies, at)


def _fail_delivery(dependencies: Dependencies, delivery: Delivery, *attempts: DeliveryAttempt) -> Disposition:
    failed = replace(
        delivery,
        status=DeliveryStatus.FAILED,
        attempts=(*delivery.attempts, *attempts),
        trying_since=None,
        try_at=None,
        due_at=None,
    )
    _count_given_up(dependencies.transport.send(update_delivery(dependencies.settings.table, failed)))
    return Ack()


def _with_lost_attempt(delivery: Delivery) -> Delivery:
    """Add the attempt of a deliverer that died before it recorded the outcome; whether it arrived is unknown."""
    lost = DeliveryAttempt(delivery.trying_since or 0, 0, error=INTERRUPTED)
    return replace(delivery, attempts=(*delivery.attempts, lost))


def _unsent(now: int, why: str) -> DeliveryAttempt:
    return DeliveryAttempt(now, 0, error=why)
