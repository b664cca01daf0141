"""Wake parked jobs for the slots that are free."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence

from coatcheck.core.aws.call import AwsError
from coatcheck.core.aws.dynamodb import transitions
from coatcheck.core.aws.dynamodb.compatibility import NewerRow
from coatcheck.core.aws.dynamodb.job_items import get_jobs
from coatcheck.core.aws.dynamodb.keys import JobKey
from coatcheck.core.aws.dynamodb.limit_items import get_limits
from coatcheck.core.aws.dynamodb.slot_items import get_slots, parked_jobs
from coatcheck.core.aws.enqueue import enqueue_job
from coatcheck.core.aws.flow import Flow, send
from coatcheck.core.flows.notify import send_or_log
from coatcheck.core.job import Job
from coatcheck.core.lifecycle import Slot
from coatcheck.core.settings import Settings
from coatcheck.core.slots import Caps, Turn
from coatcheck.core.tenant_limits import TenantLimits

log: logging.Logger = logging.getLogger(__name__)

MAX_WOKEN = 3
"""Jobs that are woken when one gives its slot back: more than one, to make up for a job that woke none."""

CANDIDATES = 10
"""Parked jobs that are looked at in a group. The index may still show jobs that are no longer parked."""


def hand_on_slot(settings: Settings, before: Job, *, now: int) -> Flow[None]:
    """Wake parked jobs if the job, as it was `before` its last write, held a slot. If that fails, log it as a warning.

    The sweeper does it within a minute then.
    """
    if before.slot is not Slot.HELD:
        return
    try:
        yield from wake_parked(settings, before.tenant, now=now, most=MAX_WOKEN)
    except (AwsError, NewerRow) as error:
        log.warning("%s: no parked job of its tenant was woken, the sweeper will do it: %s", before.id, error)


def wake_parked(settings: Settings, tenant: str, *, now: int, most: int) -> Flow[int]:
    """Wake up to `most` parked jobs of a tenant, as many as may run; returns how many. Raises AwsError and NewerRow."""
    woken = 0
    counts = yield from send(get_slots(settings.table, tenant))
    if not counts.parked:
        return woken
    limits = yield from send(get_limits(settings.table, tenant))
    while woken < most:
        job = yield from _next_parked(settings.table, tenant, counts.turns(limits), now=now)
        if job is None or not (yield from _wake(settings, job, limits, now=now)):
            break
        woken += 1
        counts = yield from send(get_slots(settings.table, tenant))
    return woken


def _next_parked(table: str, tenant: str, turns: Iterable[Turn], *, now: int) -> Flow[Job | None]:
    for turn in turns:
        found: list[tuple[int, JobKey]] = []
        for group in turn.groups:
            found += yield from send(parked_jobs(table, tenant, group, turn, limit=CANDIDATES))
        jobs = yield from _read(table, [key for _, key in sorted(found, key=lambda entry: entry[0])[:CANDIDATES]])
        waiting = [job for job in jobs if job.parked and not job.queue_ttl_passed(now)]
        if waiting:
            return min(waiting, key=lambda job: (job.due_at or 0, job.id))
    return None


def _read(table: str, keys: Sequence[JobKey]) -> Flow[Sequence[Job]]:
    if not keys:
        return ()
    batch = yield from send(get_jobs(table, keys, consistent=True))
    return batch.jobs


def _wake(settings: Settings, job: Job, limits: TenantLimits, *, now: int) -> Flow[bool]:
    """Wake a job; False if it was not there to be woken, or no slot was."""
    caps = Caps.of(limits, job.type)
    outcome: transitions.TransitionOutcome | transitions.SlotsChanged
    if caps:
        outcome = yield from send(transitions.wake(settings.table, job, caps, now=now))
    else:
        outcome = yield from send(transitions.unpark(settings.table, job, now=now))
    if not isinstance(outcome, Job):
        return False
    yield from send_or_log(enqueue_job(settings, outcome), job.id)
    return True
