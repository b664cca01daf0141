"""What must hold of what is left when a schedule is over."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterator
from itertools import pairwise

from coatcheck.core.api.views import event_views
from coatcheck.core.aws import s3_keys
from coatcheck.core.aws.dynamodb.codec import decode_events
from coatcheck.core.clock import MINUTE
from coatcheck.core.job import Job
from coatcheck.core.lifecycle import Status
from coatcheck.core.webhooks import Delivery, DeliveryStatus, endpoint_id_for
from coatcheck_worker.webhooks.deliver import DELETED, DISABLED
from tests.simulation.checks import Checks, incarnation_of
from tests.simulation.index import Key
from tests.simulation.model import Model, objects_of

SKEW = 10 * MINUTE
"""By how much a clock of the simulation is ahead at most."""


def final_violations(checks: Checks, model: Model, now: int) -> list[str]:
    """Every flaw that is left."""
    return list(_violations(checks, model, now))


def _violations(checks: Checks, model: Model, now: int) -> Iterator[str]:
    for incarnation in checks.accepted:
        if incarnation not in checks.rows or not checks.rows[incarnation].done:
            yield f"{incarnation[0]} was accepted and is lost"
    for incarnation in checks.canceled:
        if checks.rows[incarnation].status is not Status.CANCELED:
            yield f"{incarnation[0]} was to be canceled and is {checks.rows[incarnation].status}"
    yield from _doubled(checks)
    for incarnation, job in checks.rows.items():
        if incarnation in checks.to_be_forgotten or checks.current.get(job.id) != incarnation:
            continue
        yield from _flaws_in_history(job, model)
        yield from _unannounced(checks, job)
        if job.status is Status.SUCCEEDED and not job.gone(now + SKEW):
            yield from _flaws_in_result(checks, job, model)
            yield from checks.artifacts.flaws(job, model)
    yield from _not_removed(checks, model, now)
    yield from checks.tallies.leaked()


def _doubled(checks: Checks) -> Iterator[str]:
    """Of one errand, a job begins when the one before it is gone."""
    asked: dict[tuple[str, str | None], list[Job]] = defaultdict(list)
    for job in checks.first.values():
        asked[job.metadata["errand"], job.replayed_from].append(job)
    for (client_script, _), jobs in asked.items():
        jobs.sort(key=lambda job: job.created_at)
        for earlier, later in pairwise(jobs):
            if not checks.rows[incarnation_of(earlier)].gone(later.created_at):
                yield f"the client asked once, under {client_script}, and has {len(jobs)} jobs"


def _flaws_in_history(job: Job, model: Model) -> Iterator[str]:
    partition = f"{job.tenant}#{job.id}"
    page = f"history#{job.created_at:013d}#"
    pages = sorted(key for key in model.table.items if key[0] == partition and key[1].startswith(page))
    announced = [event for key in pages for event in decode_events(model.table.items[key]["events"])]
    announced = announced[: job.history_from - 1] + list(job.history)
    final = [event.type for event in announced if event.type.removeprefix("job.") in Status.all_final()]
    if job.done and (len(final) != 1 or announced[-1].type != f"job.{job.status}"):
        yield f"the history of {job.id} ends {job.status} with {final}"
    started = sum(event.type == "job.started" for event in announced)
    if started != job.attempt:
        yield f"the history of {job.id} tells of {started} starts in {job.attempt} attempts"
    if announced:
        attempt = event_views(announced, job.id, "")[-1].attempt
        if attempt != job.counted_attempt:
            yield f"{job.id} is shown in attempt {job.counted_attempt}, and its history in {attempt}"


def _unannounced(checks: Checks, job: Job) -> Iterator[str]:
    """What was to be told has arrived, and was the same each time."""
    happened = {f"job.{job.status}"} | ({"job.started"} if job.attempt else set())
    made = [one for one in checks.deliveries.values() if (one.key.of, one.key.made) == incarnation_of(job)]
    for endpoint, events in _wanted(checks, job).items():
        announced = sorted(one.event for one in made if one.endpoint == endpoint)
        if announced != sorted(happened & events):
            yield f"{job.id} was to tell {endpoint} of {happened & events}, and told of {announced}"
    for delivery in made:
        if delivery.event not in happened:
            yield f"{job.id} told of {delivery.event}, which has not happened"
        yield from _flaws_in_delivery(checks, delivery)


def _wanted(checks: Checks, job: Job) -> dict[str, set[str]]:
    """Who must have been told of what: the job's own receiver, and endpoints that were there all the time."""
    wanted = {one.id: set(one.events) for one in checks.steady}
    if job.webhook:
        wanted[endpoint_id_for(job.tenant, job.webhook["url"])] = set(job.webhook["events"])
    return wanted


_GIVEN_UP = (DELETED, DISABLED)


def _flaws_in_delivery(checks: Checks, delivery: Delivery) -> Iterator[str]:
    named = f"{delivery.event} of {delivery.key.of} to {delivery.endpoint}"
    given_up = delivery.status is DeliveryStatus.FAILED and delivery.attempts[-1].error in _GIVEN_UP
    bodies = checks.arrived_bodies.get(delivery.key, set())
    if not given_up and bodies != {delivery.body}:
        yield f"{named} did not arrive, or not as it is"
    if delivery.tries != len(delivery.attempts) - given_up:
        yield f"{named} was tried {delivery.tries} times, and tells of {delivery.attempts}"
    if b'"status":"running"' not in delivery.body and delivery.event == "job.started":
        yield f"{named} tells of the start as it was later"
    if delivery.status is DeliveryStatus.PENDING:
        yield f"{named} is still pending"


def _flaws_in_result(checks: Checks, job: Job, model: Model) -> Iterator[str]:
    expected = checks.made.get((job.id, job.created_at, job.attempt))
    stored = model.bucket.objects.get(s3_keys.result_key(job))
    inline = job.result.inline if job.result else None
    body = inline if stored is None else stored.body
    if body is None or hashlib.sha256(body).digest() != expected:
        yield f"the result of {job.id} is not there"


def _items_beside(job: Job, model: Model) -> list[Key]:
    """The items of the table that belong to a job, without its row and the mark that a DELETE leaves."""
    made = f"#{job.created_at:013d}"
    items = [key for key in model.table.items if key[0] == f"{job.tenant}#{job.id}" and made in key[1]]
    return [key for key in items if not key[1].startswith("purged#")]


def _not_removed(checks: Checks, model: Model, now: int) -> Iterator[str]:
    """What a job that was deleted, or of which the sweeper has removed all, has left."""
    for incarnation, job in checks.rows.items():
        swept = job.due_at is None and job.gone(now - SKEW) and checks.current.get(job.id) == incarnation
        if not swept and incarnation not in checks.forgotten:
            continue
        # the next job of the id took the row before the sweeper had done with it: the bucket's lifecycle rule is left
        unswept = checks.current.get(job.id) != incarnation and job.due_at is not None
        for key in objects_of(job, model):
            if not (unswept and key in checks.carried_out_late):
                yield f"{job.id} is gone, and {key} is left"
        if incarnation in checks.forgotten:
            beside = [] if unswept else _items_beside(job, model)
            if beside:
                yield f"{job.id} was deleted, and {beside} are left"
            left = [one.key.id for one in checks.deliveries.values() if (one.key.of, one.key.made) == incarnation]
            if left:
                yield f"{job.id} was deleted, and {left} are left"
