"""The pass over jobs: urgent actions run as jobs are read; jobs that need a message get one afterwards."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TypeAlias, assert_never

from coatcheck.core import due
from coatcheck.core.aws.dynamodb import job_updates
from coatcheck.core.aws.dynamodb.keys import JobKey
from coatcheck.core.job import Job
from coatcheck.core.lifecycle import Status
from coatcheck.core.settings import WEBHOOKS
from coatcheck.core.webhooks import pending_events
from coatcheck_worker.dependencies import Dependencies
from coatcheck_worker.orphans import discard_lost_attempt
from coatcheck_worker.sweep import dispatch, recovery
from coatcheck_worker.sweep.dispatch import PendingDispatch
from coatcheck_worker.sweep.due_pages import DuePages
from coatcheck_worker.sweep.due_rows import due_rows, in_time
from coatcheck_worker.sweep.lateness import Lateness

log = logging.getLogger(__name__)

MAX_HELD = 10_000
"""Jobs to be dispatched that are held in memory, at about 4 KB each, while more are read."""

Action: TypeAlias = Callable[[Dependencies, Job], str]


@dataclass(frozen=True, slots=True)
class UrgentAction:
    """An action on a job that must not wait for anything else."""

    job: Job
    action: Action

    @property
    def id(self) -> str:
        """The job's id."""
        return self.job.id


def process_due(dependencies: Dependencies, pages: DuePages[JobKey], *, until: int, fraction: float) -> Counter[str]:
    """Process the jobs of the pages until the time `until`. `fraction` is the part of all jobs that they may hold.

    Urgent actions run here even if the shard is delegated: the other sweeper may come late. Objects of lost attempts
    are removed last: no job waits for S3.
    """
    done: Counter[str] = Counter()
    held: list[PendingDispatch] = []
    lost_attempts: list[Job] = []
    alone = True
    lateness = Lateness(dependencies.settings.lanes)
    for jobs in due_rows(dependencies, pages):
        now = dependencies.clock()
        lateness.see(jobs, now)
        actions = [(job, what) for job in jobs if (what := action_for(job, now)) is not None]
        urgent = [UrgentAction(job, what) for job, what in actions if not isinstance(what, PendingDispatch)]
        outcomes = dependencies.parallel_map(partial(in_time, dependencies, until, _perform), urgent)
        done.update(outcomes)
        lost_attempts += [one.job for one, what in zip(urgent, outcomes, strict=True) if what in recovery.ENDED]
        held += [
            what for job, what in actions if isinstance(what, PendingDispatch) and job.due_shard not in pages.delegated
        ]
        if len(held) >= MAX_HELD or (alone and pages.delegated):
            alone = not pages.delegated
            done += dispatch.dispatch_all(dependencies, held, until=until, fraction=fraction)
            held.clear()
    lateness.record()
    done += dispatch.dispatch_all(dependencies, held, until=until, fraction=fraction)
    dependencies.parallel_map(partial(in_time, dependencies, until, _discard), lost_attempts[:MAX_HELD])
    return done


def process_job(dependencies: Dependencies, job: Job) -> str:
    """Run the action that one job needs, if it is urgent. Returns what was done. Raises AwsError."""
    action = action_for(job, dependencies.clock())
    if action is None or isinstance(action, PendingDispatch):
        return "early"
    what = _perform(dependencies, UrgentAction(job, action))
    if what in recovery.ENDED:
        discard_lost_attempt(dependencies, job)
    return what


def action_for(job: Job, now: int) -> Action | PendingDispatch | None:
    """What to do now with a job that was found due: an urgent action, a message, or nothing yet."""
    match job.status:
        case Status.SCHEDULED | Status.QUEUED:
            return recovery.expire if job.queue_ttl_passed(now) else _dispatch_if_due(job, now)
        case Status.RUNNING:
            return recovery.take_over if _lease_expired(job, now) else None
        case Status.CANCELING:
            return recovery.finish_cancel if _lease_expired(job, now) else None
        case Status.SUCCEEDED | Status.FAILED | Status.CANCELED | Status.TIMED_OUT | Status.EXPIRED:
            return _action_for_finished(job, now)
        case _:
            assert_never(job.status)


def _lease_expired(job: Job, now: int) -> bool:
    # a job that runs without a lease is not ours, whatever wrote it
    return job.lease_until is not None and now > job.lease_until


def _dispatch_if_due(job: Job, now: int) -> PendingDispatch | None:
    """A waiting job: its message was never sent, was lost, or is late. Another does no harm."""
    return PendingDispatch(job, job.lane) if _is_due(job, now) else None


def _action_for_finished(job: Job, now: int) -> Action | PendingDispatch | None:
    """A finished job: an event is still to be notified or, when its retention is over, bytes are to be removed."""
    if not _is_due(job, now):
        return None
    return PendingDispatch(job, WEBHOOKS) if pending_events(job) else _move_to_removal_index


def _is_due(job: Job, now: int) -> bool:
    return job.due_at is not None and job.due_at <= now


def _move_to_removal_index(dependencies: Dependencies, job: Job) -> str:
    """Only bytes are left to remove: a row of an older version, or one that was notified while it was settled."""
    due_at = due.for_removal(job)
    dependencies.transport.send(
        job_updates.postpone(
            dependencies.settings.table, job, due_at=due_at, dispatches=job.dispatches, for_removal=True
        )
    )
    return "left to removal"


def _perform(dependencies: Dependencies, urgent: UrgentAction) -> str:
    what = urgent.action(dependencies, urgent.job)
    log.info("sweep: %s was %s: %s", urgent.id, urgent.job.status, what)
    return what


def _discard(dependencies: Dependencies, job: Job) -> str:
    discard_lost_attempt(dependencies, job)
    return "discarded"
