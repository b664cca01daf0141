"""Jobs that nobody works on any more: their worker is lost, or they were not started in time."""

from __future__ import annotations

from coatcheck import errors
from coatcheck.clock import SECOND
from coatcheck.lifecycle import FAIL, TIME_OUT
from coatcheck.messages import JobMessage
from coatcheck.queues import send_job
from coatcheck.record import Job, JobError
from coatcheck.table import moves
from coatcheck.table.history import put_history_page
from worker.heart import BEATS_PER_LEASE
from worker.tools import Tools
from worker.webhooks.wake import wake_deliverer

GIVEN_UP, REQUEUED, CANCELED = "given up", "requeued", "canceled"
ENDED = frozenset({GIVEN_UP, REQUEUED, CANCELED})
"""What was done where an attempt is over whose worker is lost: what it left in the bucket can go."""


def expire(tools: Tools, job: Job) -> str:
    """End a job that was not started within its `queue_ttl`."""
    error = JobError(errors.QUEUE_TTL_PASSED.code, "not started within its queue_ttl")
    outcome = tools.aws.send(moves.expire(tools.deployment.table, job, now=tools.clock(), error=error))
    if not isinstance(outcome, Job):
        return "too late"
    wake_deliverer(tools, outcome)
    return "expired"


def take_over(tools: Tools, job: Job) -> str:
    """Queue a job again whose lease has run out, or end it when that was its last attempt."""
    now = tools.clock()
    table = tools.deployment.table
    overran = _overran(job, tools.deployment.lease_ms)
    error = (
        JobError(errors.TIMED_OUT.code, f"attempt {job.attempt} ran past {job.timeout_seconds:g} s and its worker died")
        if overran
        else JobError(errors.WORKER_LOST.code, f"the worker of attempt {job.attempt} stopped answering")
    )
    if job.attempt >= job.max_attempts:
        move = TIME_OUT if overran else FAIL
        outcome = tools.aws.send(moves.settle(table, job, move, now=now, error=error, sweeper=True))
        return _taken(tools, outcome, GIVEN_UP)
    if moves.must_spill(job):
        tools.aws.send(put_history_page(table, job))
    outcome = tools.aws.send(moves.retry(table, job, now=now, start_at=now, error=error, sweeper=True))
    if isinstance(outcome, Job):
        _send(tools, outcome)
    return _taken(tools, outcome, REQUEUED)


def finish_cancel(tools: Tools, job: Job) -> str:
    """End a job that was canceled while it ran, and whose lease has run out."""
    error = JobError(errors.CANCELED.code, "canceled; its worker had stopped answering")
    outcome = tools.aws.send(moves.cancel(tools.deployment.table, job, now=tools.clock(), error=error, sweeper=True))
    return _taken(tools, outcome, CANCELED)


def _overran(job: Job, lease: int) -> bool:
    """Whether the worker still beat when its attempt's time was up, as far as can be told from its last beat.

    A worker that lives settles by itself, so one that was never heard of after its claim died or hangs.
    """
    if job.lease_until is None or job.claimed_at is None or job.run_deadline is None:
        return False
    last_beat = job.lease_until - lease
    return last_beat > job.claimed_at and job.run_deadline - last_beat <= lease // BEATS_PER_LEASE + SECOND


def _send(tools: Tools, job: Job) -> None:
    tools.aws.send(send_job(tools.deployment.queues[job.lane], JobMessage(tenant=job.tenant, job=job.id)))


def _taken(tools: Tools, outcome: moves.Outcome, what: str) -> str:
    """Whether the move was made: the worker may have been faster after all."""
    if not isinstance(outcome, Job):
        return "too late"
    wake_deliverer(tools, outcome)
    return what
