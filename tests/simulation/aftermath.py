"""What must hold of what is left when a schedule is over."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterator
from itertools import pairwise

from coatcheck import blobs
from coatcheck.clock import MINUTE
from coatcheck.lifecycle import FINAL, Status
from coatcheck.record import Job
from coatcheck.table.codec import decode_events
from coatcheck.webhooks import Delivery, DeliveryStatus, endpoint_id_for
from tests.simulation.checks import Checks, life_of
from tests.simulation.model import Model
from worker.webhooks.deliver import DELETED, DISABLED

SKEW = 10 * MINUTE
"""By how much a clock of the simulation is ahead at most."""


def look_back(checks: Checks, model: Model, now: int) -> list[str]:
    """Every flaw that is left."""
    return list(_flaws(checks, model, now))


def _flaws(checks: Checks, model: Model, now: int) -> Iterator[str]:
    for life in checks.accepted:
        if life not in checks.rows or not checks.rows[life].done:
            yield f"{life[0]} was accepted and is lost"
    for life in checks.canceled:
        if checks.rows[life].status is not Status.CANCELED:
            yield f"{life[0]} was to be canceled and is {checks.rows[life].status}"
    yield from _doubled(checks)
    for life, job in checks.rows.items():
        if life in checks.to_be_forgotten or checks.standing.get(job.id) != life:
            continue
        yield from _flaws_in_history(job, model)
        yield from _untold(checks, job)
        if job.status is Status.SUCCEEDED and not job.gone(now + SKEW):
            yield from _flaws_in_result(checks, job, model)
    yield from _not_removed(checks, model, now)


def _doubled(checks: Checks) -> Iterator[str]:
    """Of one errand, a job begins when the one before it is gone."""
    asked: dict[tuple[str, str | None], list[Job]] = defaultdict(list)
    for job in checks.first.values():
        asked[job.metadata["errand"], job.replayed_from].append(job)
    for (errand, _), jobs in asked.items():
        jobs.sort(key=lambda job: job.created_at)
        for earlier, later in pairwise(jobs):
            if not checks.rows[life_of(earlier)].gone(later.created_at):
                yield f"the client asked once, under {errand}, and has {len(jobs)} jobs"


def _flaws_in_history(job: Job, model: Model) -> Iterator[str]:
    partition = f"{job.tenant}#{job.id}"
    page = f"history#{job.created_at:013d}#"
    pages = sorted(key for key in model.table.items if key[0] == partition and key[1].startswith(page))
    told = [event for key in pages for event in decode_events(model.table.items[key]["events"])]
    told = told[: job.history_from - 1] + list(job.history)
    final = [event.type for event in told if event.type.removeprefix("job.") in FINAL]
    if job.done and (len(final) != 1 or told[-1].type != f"job.{job.status}"):
        yield f"the history of {job.id} ends {job.status} with {final}"
    started = sum(event.type == "job.started" for event in told)
    if started != job.attempt:
        yield f"the history of {job.id} tells of {started} starts in {job.attempt} attempts"


def _untold(checks: Checks, job: Job) -> Iterator[str]:
    """What was to be told has arrived, and was the same each time."""
    happened = {f"job.{job.status}"} | ({"job.started"} if job.attempt else set())
    made = [one for one in checks.deliveries.values() if (one.key.of, one.key.made) == life_of(job)]
    for endpoint, events in _wanted(checks, job).items():
        told = sorted(one.event for one in made if one.endpoint == endpoint)
        if told != sorted(happened & events):
            yield f"{job.id} was to tell {endpoint} of {happened & events}, and told of {told}"
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
    stored = model.bucket.objects.get(blobs.result_key(job))
    inline = job.result.inline if job.result else None
    body = inline if stored is None else stored.body
    if body is None or hashlib.sha256(body).digest() != expected:
        yield f"the result of {job.id} is not there"


def _not_removed(checks: Checks, model: Model, now: int) -> Iterator[str]:
    """What a job that was deleted, or of which the sweeper has removed all, has left."""
    for life, job in checks.rows.items():
        swept = job.due_at is None and job.gone(now - SKEW) and checks.standing.get(job.id) == life
        if not swept and life not in checks.forgotten:
            continue
        ended = checks.ended[life]
        for key in (blobs.input_key(ended), blobs.result_key(ended)):
            if key in model.bucket.objects:
                yield f"{job.id} is gone, and {key} is left"
        if life in checks.forgotten:
            left = [one.key.id for one in checks.deliveries.values() if (one.key.of, one.key.made) == life]
            if left:
                yield f"{job.id} was deleted, and {left} are left"
