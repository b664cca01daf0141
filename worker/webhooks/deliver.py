"""A message says: look at this delivery. Look, and make the attempt that is due, if one is."""

from __future__ import annotations

from dataclasses import replace

from coatcheck import due
from coatcheck.clock import SECOND
from coatcheck.messages import DeliveryMessage
from coatcheck.table.keys import JobKey
from coatcheck.table.purged import was_purged
from coatcheck.table.webhooks import (
    begin_try,
    delete_delivery,
    end_try,
    get_delivery,
    postponed,
    update_delivery,
    update_endpoint,
)
from coatcheck.webhooks import (
    SCHEDULE,
    TEST_EVENT,
    Attempt,
    Delivery,
    DeliveryKey,
    DeliveryStatus,
    Endpoint,
    after_rest,
    next_try,
)
from worker.tools import Again, Done, Tools, Verdict
from worker.webhooks import health
from worker.webhooks.attempts import GONE
from worker.webhooks.desk import Desk, of_a_job

PROBE = 20 * SECOND
"""How long an endpoint rests on while one attempt shows how it is, in milliseconds: longer than that may take."""

INTERRUPTED = "interrupted: the deliverer ended while it waited for the answer"
DELETED = "deleted: the endpoint is no more"
DISABLED = "disabled: the endpoint is switched off"


def deliver(desk: Desk, message: DeliveryMessage) -> Verdict:
    """Make one attempt, if it is time for one. Raises AwsError.

    It may end anywhere and be done again: who holds an attempt has noted it in the delivery before.
    """
    tools = desk.tools
    key = DeliveryKey(message.tenant, message.of, message.made, message.delivery)
    delivery = tools.aws.send(get_delivery(tools.deployment.table, key))
    now = tools.clock()
    if delivery is None or not _is_open(tools, delivery, now):
        return Done()
    if delivery.trying_since is not None:
        delivery = _with_lost_attempt(delivery)
    elif delivery.try_at is not None and delivery.try_at > now:
        return _wait_for(tools, delivery.try_at)
    endpoint = desk.endpoint(delivery)
    if endpoint is None or not endpoint.enabled:
        return _given_up(tools, delivery, _unsent(now, DELETED if endpoint is None else DISABLED))
    if delivery.tries >= len(SCHEDULE):
        return _given_up(tools, delivery)
    rests_until = None if delivery.event == TEST_EVENT else _rests_until(tools, endpoint)
    if rests_until is not None:
        return _postponed(tools, delivery, rests_until)
    return _try(desk, replace(delivery, url=endpoint.url), endpoint)


def _is_open(tools: Tools, delivery: Delivery, now: int) -> bool:
    """Whether attempts are still to be made, and none is under way."""
    if delivery.status is not DeliveryStatus.PENDING or delivery.under_way(now):
        return False
    return delivery.tries > 0 or not _was_purged(tools, delivery)


def _was_purged(tools: Tools, delivery: Delivery) -> bool:
    """Remove a delivery that was made after its job had been deleted; whether it was. Others have gone with the job."""
    if delivery.event == TEST_EVENT:
        return False
    table, key = tools.deployment.table, delivery.key
    purged = tools.aws.send(was_purged(table, JobKey(key.tenant, key.of), key.made))
    if purged:
        tools.aws.send(delete_delivery(table, key))
    return purged


def _rests_until(tools: Tools, endpoint: Endpoint) -> int | None:
    """Until when an endpoint is to be left in peace; None gives leave for one attempt.

    After a rest one delivery tries the endpoint for all: whoever is first to have it rest on meanwhile.
    """
    now = tools.clock()
    if endpoint.resting_until is None or now < endpoint.resting_until:
        return endpoint.resting_until
    resting_on = replace(endpoint, resting_until=now + PROBE)
    ours = tools.aws.send(update_endpoint(tools.deployment.table, resting_on)) is not None
    return None if ours else resting_on.resting_until


def _try(desk: Desk, delivery: Delivery, endpoint: Endpoint) -> Verdict:
    tools = desk.tools
    table, secrets = tools.deployment.table, desk.secrets(endpoint)
    begun = tools.aws.send(begin_try(table, delivery, now=tools.clock()))
    if begun is None:
        # another has begun, or the sweeper that sent this very message has put it off meanwhile: the row says which
        return Again(0)
    attempt, retry_after = desk.sender.attempt(begun, secrets, now=begun.trying_since or 0)
    gone = attempt.status_code == GONE
    now = tools.clock()
    next_at = None if gone else next_try(begun.tries, now=now, roll=tools.roll(), retry_after=retry_after)
    ended = tools.aws.send(end_try(table, begun, attempt, next_at=next_at))
    if not of_a_job(delivery):
        _note_health(tools, endpoint, attempt, gone=gone)
    if ended is None:
        # our own write, of which the reply was lost; or somebody took us for dead: the row says what is to come
        return Again(0)
    return Done() if ended.try_at is None else _wait_for(tools, ended.try_at)


def _note_health(tools: Tools, endpoint: Endpoint, attempt: Attempt, *, gone: bool) -> None:
    if gone:
        health.note(tools, endpoint, health.after_gone)
    elif not attempt.succeeded:
        health.note(tools, endpoint, health.after_failure)
    elif endpoint.failures:
        health.note(tools, endpoint, health.after_success)


def _wait_for(tools: Tools, at: int) -> Verdict:
    """The same message waits out the time where a queue can; else the sweeper sends one."""
    delay = due.message_delay(now=tools.clock(), start_at=at)
    return Done() if delay is None else Again(max(delay, 1))


def _postponed(tools: Tools, delivery: Delivery, resting_until: int) -> Verdict:
    """The endpoint is left in peace: no attempt is used up."""
    now = tools.clock()
    at = after_rest(delivery, resting_until, now=now, roll=tools.roll())
    later = replace(postponed(delivery, at, now=now), trying_since=None)
    tools.aws.send(update_delivery(tools.deployment.table, later))
    return _wait_for(tools, at)


def _given_up(tools: Tools, delivery: Delivery, *attempts: Attempt) -> Verdict:
    failed = replace(
        delivery,
        status=DeliveryStatus.FAILED,
        attempts=(*delivery.attempts, *attempts),
        trying_since=None,
        try_at=None,
        due_at=None,
    )
    tools.aws.send(update_delivery(tools.deployment.table, failed))
    return Done()


def _with_lost_attempt(delivery: Delivery) -> Delivery:
    """With the attempt in its ledger whose deliverer did not live to note it; whether it arrived nobody knows."""
    lost = Attempt(delivery.trying_since or 0, 0, error=INTERRUPTED)
    return replace(delivery, attempts=(*delivery.attempts, lost))


def _unsent(now: int, why: str) -> Attempt:
    return Attempt(now, 0, error=why)
