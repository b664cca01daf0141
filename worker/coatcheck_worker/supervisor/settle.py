"""Settle an attempt: each outcome is one fenced write, and returns the disposition of the message."""

from __future__ import annotations

import logging
from typing import assert_never

from coatcheck.core import due, errors, sanitize
from coatcheck.core.aws.call import Call
from coatcheck.core.aws.dynamodb import transitions
from coatcheck.core.aws.dynamodb.history import put_history_page
from coatcheck.core.aws.flow import run
from coatcheck.core.clock import DAY, SECOND, milliseconds
from coatcheck.core.flows.follow_up import follow_up
from coatcheck.core.job import Blob, Job, JobError
from coatcheck.core.lifecycle import FAIL, SUCCEED, TIME_OUT, Status, Transition
from coatcheck_worker.dependencies import Ack, Dependencies, Disposition, Redeliver
from coatcheck_worker.orphans import discard_attempt
from coatcheck_worker.protocol import Raised
from coatcheck_worker.runners import RunnerNotStarted, ServedType
from coatcheck_worker.supervisor.heartbeat import StopReason
from coatcheck_worker.supervisor.retry_decision import GiveUp, decide

log = logging.getLogger(__name__)

MAX_DETAIL = 500
UNKNOWN_TYPE_TIMEOUT = DAY
"""How long a job waits for a worker that knows its type, from when a worker first missed it."""
UNKNOWN_TYPE_DELAY = 60
NOT_BEGUN_DELAY = 60
"""Seconds until a job is tried again that this machine could not begin."""

_CANCELED = JobError(errors.CANCELED.code, "The client canceled the job while it ran.")


def succeeded(dependencies: Dependencies, job: Job, result: Blob, artifact_count: int) -> Disposition:
    """Write the pointer to the result, whose bytes are already stored completely."""
    now = dependencies.clock()
    table = dependencies.settings.table
    transition = transitions.settle(table, job, SUCCEED, now=now, result=result, artifact_count=artifact_count)
    if not _commit(dependencies, job, transition):
        discard_attempt(dependencies, job)
    return Ack()


def continued(dependencies: Dependencies, job: Job, checkpoint: Blob, artifact_count: int) -> Disposition:
    """The handler saved a checkpoint and asked for more time.

    A write that is refused may be our own, repeated, and the next leg may have begun: this one's artifacts stay.
    """
    _spill(dependencies, job)
    now, table = dependencies.clock(), dependencies.settings.table
    transition = transitions.continue_later(table, job, now=now, checkpoint=checkpoint, artifact_count=artifact_count)
    return Redeliver(0) if _commit(dependencies, job, transition) else Ack()


def raised(dependencies: Dependencies, job: Job, served: ServedType, raised: Raised) -> Disposition:
    """The handler raised an exception, or returned what its job type does not."""
    after = raised.seconds if raised.error == "retry-later" else None
    return _failed(dependencies, job, served, _describe(raised, job), permanent=raised.permanent, after=after)


def crashed(dependencies: Dependencies, job: Job, served: ServedType, cause: str) -> Disposition:
    """The runner ended before the attempt did."""
    error = _job_error(errors.HANDLER_CRASHED.code, f"{_attempt_of(job)}: {cause}")
    return _failed(dependencies, job, served, error)


def _failed(
    dependencies: Dependencies,
    job: Job,
    served: ServedType,
    error: JobError,
    *,
    permanent: bool = False,
    after: float | None = None,
    transition: Transition = FAIL,
) -> Disposition:
    decision = decide(
        served,
        attempt=job.counted_attempt,
        max_attempts=job.counted_max_attempts,
        permanent=permanent,
        after=after,
        roll=dependencies.roll(),
    )
    match decision:
        case GiveUp():
            return _give_up(dependencies, job, transition, error)
        case wait:
            return _retry(dependencies, job, error, wait.seconds)


def stopped(
    dependencies: Dependencies, job: Job, served: ServedType, stop: StopReason, *, deadline: int
) -> Disposition:
    """The attempt had to end, at the latest at `deadline` (milliseconds)."""
    if stop is StopReason.LEASE_LOST:
        return Ack()
    if stop is StopReason.CANCELED:
        _commit(
            dependencies,
            job,
            transitions.cancel(dependencies.settings.table, job, now=dependencies.clock(), error=_CANCELED),
        )
        return Ack()
    if stop is StopReason.HANDED_BACK:
        return _retry(dependencies, job, JobError(errors.HANDED_BACK.code, stop.value), 0, counted=False)
    allowed = (deadline - (job.claimed_at or deadline)) / SECOND
    detail = f"attempt {job.counted_attempt} was stopped at its time limit of {allowed:g} s"
    error = JobError(errors.TIMED_OUT.code, detail)
    return _failed(dependencies, job, served, error, transition=TIME_OUT)


def not_begun(dependencies: Dependencies, job: Job, error: OSError | RunnerNotStarted) -> Disposition:
    """This machine cannot run the job now: its disk or its memory may be full. Another may: no attempt is used up."""
    what = "start a process" if isinstance(error, RunnerNotStarted) else "make a working folder"
    why = error.strerror if isinstance(error, OSError) else error
    reason = _job_error(errors.HANDED_BACK.code, f"the worker could not {what} ({why})")
    log.error("%s: %s", job.id, reason.detail)
    return _retry(dependencies, job, reason, NOT_BEGUN_DELAY, counted=False)


def requeue_unknown_type(dependencies: Dependencies, job: Job) -> Disposition:
    """No handler here knows the job's type. Newer workers may, so waiting for them uses up no attempt.

    The time counts from when the type was first missed: the job may have been scheduled, or tried, days before. Workers
    of an older version did not record that time; it then counts from now.
    """
    error = JobError(errors.UNKNOWN_TYPE.code, f"the worker has no handler for {job.type}")
    log.error("%s: %s", job.id, error.detail)
    now = dependencies.clock()
    first_missed_at = now if job.type_missed_at is None else job.type_missed_at
    if now - first_missed_at > UNKNOWN_TYPE_TIMEOUT:
        return _give_up(dependencies, job, FAIL, error)
    return _retry(dependencies, job, error, UNKNOWN_TYPE_DELAY, counted=False, type_missed_at=first_missed_at)


def _give_up(dependencies: Dependencies, job: Job, transition: Transition, error: JobError) -> Disposition:
    _commit(
        dependencies,
        job,
        transitions.settle(dependencies.settings.table, job, transition, now=dependencies.clock(), error=error),
    )
    return Ack()


def _retry(
    dependencies: Dependencies,
    job: Job,
    error: JobError,
    seconds: float,
    *,
    counted: bool = True,
    type_missed_at: int | None = None,
) -> Disposition:
    """Queue the job again. The same message covers a short delay; after a longer one the sweeper sends another."""
    _spill(dependencies, job)
    now = dependencies.clock()
    start_at = now + milliseconds(seconds)
    transition = transitions.retry(
        dependencies.settings.table,
        job,
        now=now,
        start_at=start_at,
        error=error,
        counted=counted,
        type_missed_at=type_missed_at,
    )
    delay = due.retry_visibility(now=now, start_at=start_at)
    return Redeliver(delay) if _commit(dependencies, job, transition) and delay is not None else Ack()


def _spill(dependencies: Dependencies, job: Job) -> None:
    if transitions.must_spill(job):
        dependencies.transport.send(put_history_page(dependencies.settings.table, job))


def _commit(dependencies: Dependencies, job: Job, transition: Call[transitions.TransitionOutcome]) -> bool:
    """Send the write that ends the attempt. Returns whether it took effect. A cancel that came before it wins."""
    outcome = dependencies.transport.send(transition)
    if isinstance(outcome, Job):
        # the audit log has told it
        _follow_up(dependencies, job, outcome)
        return True
    row = outcome.job
    if row is None or (row.attempt, row.created_at) != (job.attempt, job.created_at):
        log.warning("%s: attempt %d lost its lease; nothing of it is kept", job.id, job.counted_attempt)
        return False
    if row.status is Status.CANCELING:
        canceled = dependencies.transport.send(
            transitions.cancel(dependencies.settings.table, job, now=dependencies.clock(), error=_CANCELED)
        )
        if isinstance(canceled, Job):
            _follow_up(dependencies, job, canceled)
        return False
    # The row already left this attempt: the reply to our own write was lost and the write repeated, or the sweeper was
    # faster. A success can only be our own, since only the holder of the fence can write one.
    log.info("%s was already %s after attempt %d", job.id, row.status, job.counted_attempt)
    _follow_up(dependencies, job, row)
    return _was_our_write(row.status)


def _follow_up(dependencies: Dependencies, before: Job, after: Job) -> None:
    run(dependencies.transport, follow_up(dependencies.settings, before, after, now=dependencies.clock()))


def _was_our_write(status: Status) -> bool:
    """Whether a row that left the attempt with this status counts as written by this worker."""
    match status:
        case Status.SUCCEEDED | Status.QUEUED:
            return True
        case Status.FAILED | Status.CANCELED | Status.TIMED_OUT | Status.EXPIRED:
            return False
        case Status.SCHEDULED | Status.RUNNING | Status.CANCELING:
            return False  # no write that ends an attempt leaves one of these
        case _:
            assert_never(status)


def _describe(raised: Raised, job: Job) -> JobError:
    """The error that a client sees. A handler's unexpected error may hold anything, so only its class is named."""
    match raised.error:
        case "rejected":
            return _job_error(errors.REJECTED.code, raised.reason)
        case "retry-later":
            return _job_error(errors.HANDLER_ERROR.code, raised.reason)
        case "bad-result":
            return _job_error(errors.BAD_RESULT.code, raised.reason)
        case "stopped" | "error":
            return _job_error(errors.HANDLER_ERROR.code, f"the handler raised {raised.name} in {_attempt_of(job)}")
        case _:
            assert_never(raised.error)


def _attempt_of(job: Job) -> str:
    return f"attempt {job.counted_attempt} of {job.counted_max_attempts}"


def _job_error(code: str, detail: object) -> JobError:
    return JobError(code, sanitize.plain_text(detail, longest=MAX_DETAIL))
