"""Recover jobs that no worker runs: their worker is lost, or they were not started in time."""

from __future__ import annotations

from coatcheck.core import errors
from coatcheck.core.aws.dynamodb import transitions
from coatcheck.core.aws.dynamodb.history import put_history_page
from coatcheck.core.aws.enqueue import enqueue_job
from coatcheck.core.aws.flow import run
from coatcheck.core.clock import SECOND
from coatcheck.core.flows.count_job import stopped_waiting
from coatcheck.core.flows.follow_up import follow_up
from coatcheck.core.job import Job, JobError
from coatcheck.core.lifecycle import FAIL, TIME_OUT, Status
from coatcheck_worker.dependencies import Dependencies
from coatcheck_worker.ticker import RENEWALS_PER_LEASE

GIVEN_UP, REQUEUED, CANCELED, EXPIRED = "given up", "requeued", "canceled", "expired"
ENDED = frozenset({GIVEN_UP, REQUEUED, CANCELED})
"""Outcomes after which a lost worker's attempt is over: what it left in the bucket can be removed."""


def expire(dependencies: Dependencies, job: Job) -> str:
    """End a job that was not started within its `queue_ttl`."""
    error = JobError(errors.QUEUE_TTL_PASSED.code, "The job was not started within its queue_ttl.")
    outcome = dependencies.transport.send(
        transitions.expire(dependencies.settings.table, job, now=dependencies.clock(), error=error)
    )
    if isinstance(outcome, Job):
        run(dependencies.transport, stopped_waiting(dependencies.settings.table, outcome))
    return _outcome_name(dependencies, job, outcome, EXPIRED)


def take_over(dependencies: Dependencies, job: Job) -> str:
    """Queue a job whose lease has run out again, or end it if that was its last attempt."""
    now = dependencies.clock()
    table = dependencies.settings.table
    overran = _overran(job, dependencies.settings.lease_ms)
    error = (
        JobError(
            errors.TIMED_OUT.code,
            f"attempt {job.counted_attempt} reached its time limit of {job.timeout_seconds:g} s, and its worker died",
        )
        if overran
        else JobError(errors.WORKER_LOST.code, f"the worker of attempt {job.counted_attempt} stopped responding")
    )
    if job.attempt >= job.max_attempts:
        transition = TIME_OUT if overran else FAIL
        outcome = dependencies.transport.send(
            transitions.settle(table, job, transition, now=now, error=error, sweeper=True)
        )
        return _canceled_meanwhile(dependencies, outcome) or _outcome_name(dependencies, job, outcome, GIVEN_UP)
    if transitions.must_spill(job):
        dependencies.transport.send(put_history_page(table, job))
    outcome = dependencies.transport.send(
        transitions.retry(table, job, now=now, start_at=now, error=error, sweeper=True)
    )
    if isinstance(outcome, Job):
        _send(dependencies, outcome)
    return _canceled_meanwhile(dependencies, outcome) or _outcome_name(dependencies, job, outcome, REQUEUED)


def finish_cancel(dependencies: Dependencies, job: Job) -> str:
    """End a job that was canceled while it ran and whose lease has run out."""
    error = JobError(
        errors.CANCELED.code, "The client canceled the job while it ran; its worker had stopped responding."
    )
    outcome = dependencies.transport.send(
        transitions.cancel(dependencies.settings.table, job, now=dependencies.clock(), error=error, sweeper=True)
    )
    return _outcome_name(dependencies, job, outcome, CANCELED)


def _canceled_meanwhile(dependencies: Dependencies, outcome: transitions.TransitionOutcome) -> str | None:
    """Finish the cancel that came between the read of the row and the write, so that it need not wait for a sweep."""
    if isinstance(outcome, Job) or outcome.job is None or outcome.job.status is not Status.CANCELING:
        return None
    return finish_cancel(dependencies, outcome.job)


def _overran(job: Job, lease: int) -> bool:
    """Whether the worker still renewed its lease when its attempt's time was up, judged by its last heartbeat.

    A live worker settles by itself, so one that sent no heartbeat after its claim has died or hangs.
    """
    if job.lease_until is None or job.claimed_at is None or job.run_deadline is None:
        return False
    last_renewal = job.lease_until - lease
    return last_renewal > job.claimed_at and job.run_deadline - last_renewal <= lease // RENEWALS_PER_LEASE + SECOND


def _send(dependencies: Dependencies, job: Job) -> None:
    dependencies.transport.send(enqueue_job(dependencies.settings, job))


def _outcome_name(dependencies: Dependencies, before: Job, outcome: transitions.TransitionOutcome, what: str) -> str:
    """Name what was done, and do what follows. It is "too late" if somebody else was faster."""
    if not isinstance(outcome, Job):
        return "too late"
    run(dependencies.transport, follow_up(dependencies.settings, before, outcome, now=dependencies.clock()))
    return what
