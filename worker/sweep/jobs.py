"""The pass over jobs: what is urgent is done as it is read, and those that need a message get one afterwards."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TypeAlias, assert_never

from coatcheck import due
from coatcheck.deployment import WEBHOOKS
from coatcheck.lifecycle import Status
from coatcheck.record import Job
from coatcheck.table import notes
from coatcheck.table.keys import JobKey
from coatcheck.webhooks import unannounced
from worker.leftovers import discard_lost
from worker.sweep import lost, waking
from worker.sweep.pages import DuePages
from worker.sweep.rows import due_rows, in_time
from worker.sweep.waking import WakeUp
from worker.tools import Tools

log = logging.getLogger(__name__)

MOST_HELD = 10_000
"""Jobs to be woken that are held in memory, at about 4 KB each, while more are read."""

Action: TypeAlias = Callable[[Tools, Job], str]


@dataclass(frozen=True, slots=True)
class Urgent:
    """What a job asks for that waits for nothing else."""

    job: Job
    action: Action

    @property
    def id(self) -> str:
        """The job's id."""
        return self.job.id


def attend_to(tools: Tools, pages: DuePages[JobKey], *, until: int, part: float) -> Counter[str]:
    """Attend to the jobs of the pages until the time `until`. `part` is the part of all jobs that they may hold.

    What is urgent is done here also where others look through the shard: they may come late. What lost attempts left
    in the bucket goes last: no job waits for S3.
    """
    done: Counter[str] = Counter()
    held: list[WakeUp] = []
    lost_attempts: list[Job] = []
    alone = True
    for jobs in due_rows(tools, pages):
        now = tools.clock()
        asked = [(job, what) for job in jobs if (what := asks_for(job, now)) is not None]
        urgent = [Urgent(job, what) for job, what in asked if not isinstance(what, WakeUp)]
        outcomes = tools.side_by_side(partial(in_time, tools, until, _act), urgent)
        done.update(outcomes)
        lost_attempts += [one.job for one, what in zip(urgent, outcomes, strict=True) if what in lost.ENDED]
        held += [what for job, what in asked if isinstance(what, WakeUp) and job.due_shard not in pages.handed]
        if len(held) >= MOST_HELD or (alone and pages.handed):
            alone = not pages.handed
            done += waking.wake_all(tools, held, until=until, part=part)
            held.clear()
    done += waking.wake_all(tools, held, until=until, part=part)
    tools.side_by_side(partial(in_time, tools, until, _discard), lost_attempts[:MOST_HELD])
    return done


def attend(tools: Tools, job: Job) -> str:
    """Do at once what one job asks for, if it is urgent; says what it was. Raises AwsError."""
    action = asks_for(job, tools.clock())
    if action is None or isinstance(action, WakeUp):
        return "early"
    what = _act(tools, Urgent(job, action))
    if what in lost.ENDED:
        discard_lost(tools, job)
    return what


def asks_for(job: Job, now: int) -> Action | WakeUp | None:
    """What is to be done now about a job that was found due: something urgent, a message, or nothing yet."""
    match job.status:
        case Status.SCHEDULED | Status.QUEUED:
            return lost.expire if job.waiting_since_too_long(now) else _wake_up(job, now)
        case Status.RUNNING:
            return lost.take_over if _lease_is_out(job, now) else None
        case Status.CANCELING:
            return lost.finish_cancel if _lease_is_out(job, now) else None
        case Status.SUCCEEDED | Status.FAILED | Status.CANCELED | Status.TIMED_OUT | Status.EXPIRED:
            return _after_its_end(job, now)
        case _:
            assert_never(job.status)


def _lease_is_out(job: Job, now: int) -> bool:
    # one that runs without a lease is none of ours, whatever wrote it
    return job.lease_until is not None and now > job.lease_until


def _wake_up(job: Job, now: int) -> WakeUp | None:
    """A job that waits: its message was never sent, was lost, or is late. Another does no harm."""
    return WakeUp(job, job.lane) if _is_due(job, now) else None


def _after_its_end(job: Job, now: int) -> Action | WakeUp | None:
    """A finished job of which somebody is still to be told or, when its retention is over, bytes to be removed."""
    if not _is_due(job, now):
        return None
    return WakeUp(job, WEBHOOKS) if unannounced(job) else _leave_to_removal


def _is_due(job: Job, now: int) -> bool:
    return job.due_at is not None and job.due_at <= now


def _leave_to_removal(tools: Tools, job: Job) -> str:
    """Nothing but bytes is left of it: a row of an older version, or one that was told of while it was settled."""
    due_at = due.for_removal(job)
    tools.aws.send(
        notes.postpone(tools.deployment.table, job, due_at=due_at, dispatches=job.dispatches, for_removal=True)
    )
    return "left to removal"


def _act(tools: Tools, urgent: Urgent) -> str:
    what = urgent.action(tools, urgent.job)
    log.info("sweep: %s was %s: %s", urgent.id, urgent.job.status, what)
    return what


def _discard(tools: Tools, job: Job) -> str:
    discard_lost(tools, job)
    return "discarded"
