"""How an attempt ends: each ending is one fenced write, and says what becomes of the message."""

from __future__ import annotations

import logging

from coatcheck import due, errors, labels
from coatcheck.calls import Call
from coatcheck.clock import DAY, SECOND, milliseconds
from coatcheck.lifecycle import FAIL, SUCCEED, TIME_OUT, Move, Status
from coatcheck.record import Blob, Job, JobError
from coatcheck.retry import GiveUp, Reject, RetryLater, RetryPolicy, decide
from coatcheck.table import moves
from coatcheck.table.history import put_history_page
from worker.heart import Stop
from worker.leftovers import discard
from worker.output import BadResult
from worker.tools import Again, Done, Tools, Verdict
from worker.webhooks.wake import wake_deliverer

log = logging.getLogger(__name__)

MAX_DETAIL = 500
HANDLER_PATIENCE = DAY
"""How long a job waits for a worker that knows its type, from its first meeting with one that does not."""
HANDLER_PAUSE = 60
_CANCELED = JobError(errors.CANCELED.code, "canceled while it ran")


def succeeded(tools: Tools, job: Job, result: Blob, artifact_count: int) -> Verdict:
    """The result is whole and stored: point to it. Bytes first, then the pointer."""
    now = tools.clock()
    table = tools.deployment.table
    move = moves.settle(table, job, SUCCEED, now=now, result=result, artifact_count=artifact_count)
    if not _commit(tools, job, move):
        discard(tools, job)
    return Done()


def continued(tools: Tools, job: Job, checkpoint: Blob) -> Verdict:
    """The handler saved a checkpoint and asked for more time."""
    _spill(tools, job)
    move = moves.continue_later(tools.deployment.table, job, now=tools.clock(), checkpoint=checkpoint)
    return Again(0) if _commit(tools, job, move) else Done()


def raised(tools: Tools, job: Job, policy: RetryPolicy, error: Exception) -> Verdict:
    """The handler raised `error`."""
    match decide(policy, attempt=job.attempt, max_attempts=job.max_attempts, error=error, roll=tools.roll()):
        case GiveUp():
            return _give_up(tools, job, FAIL, _describe(error, job))
        case wait:
            return _retry(tools, job, _describe(error, job), wait.seconds)


def stopped(tools: Tools, job: Job, policy: RetryPolicy, stop: Stop, *, deadline: int) -> Verdict:
    """The attempt was made to end; `deadline` is when it had to at the latest (milliseconds)."""
    if stop is Stop.LEASE_LOST:
        return Done()
    if stop is Stop.CANCELED:
        _commit(tools, job, moves.cancel(tools.deployment.table, job, now=tools.clock(), error=_CANCELED))
        return Done()
    if stop is Stop.HANDED_BACK:
        return _retry(tools, job, JobError(errors.HANDED_BACK.code, stop.value), 0, counted=False)
    allowed = (deadline - (job.claimed_at or deadline)) / SECOND
    error = JobError(errors.TIMED_OUT.code, f"attempt {job.attempt} ran past the {allowed:g} s it had")
    match decide(policy, attempt=job.attempt, max_attempts=job.max_attempts, error=None, roll=tools.roll()):
        case GiveUp():
            return _give_up(tools, job, TIME_OUT, error)
        case wait:
            return _retry(tools, job, error, wait.seconds)


def left_for_others(tools: Tools, job: Job) -> Verdict:
    """No handler here knows the job's type: newer workers may, so it costs no attempt to wait for them.

    The time counts from when the type was first missed: the job may have been scheduled, or tried, days before. That is
    unknown of what an older version's worker has missed, and it then counts from now.
    """
    error = JobError(errors.UNKNOWN_TYPE.code, f"the worker has no handler for {job.type}")
    log.error("%s: %s", job.id, error.detail)
    now = tools.clock()
    missed_at = now if job.type_missed_at is None else job.type_missed_at
    if now - missed_at > HANDLER_PATIENCE:
        return _give_up(tools, job, FAIL, error)
    return _retry(tools, job, error, HANDLER_PAUSE, counted=False, type_missed_at=missed_at)


def _give_up(tools: Tools, job: Job, move: Move, error: JobError) -> Verdict:
    _commit(tools, job, moves.settle(tools.deployment.table, job, move, now=tools.clock(), error=error))
    return Done()


def _retry(
    tools: Tools,
    job: Job,
    error: JobError,
    seconds: float,
    *,
    counted: bool = True,
    type_missed_at: int | None = None,
) -> Verdict:
    """Queue the job again. The same message waits out a short time; after a longer one the sweeper sends another."""
    _spill(tools, job)
    now = tools.clock()
    start_at = now + milliseconds(seconds)
    move = moves.retry(
        tools.deployment.table,
        job,
        now=now,
        start_at=start_at,
        error=error,
        counted=counted,
        type_missed_at=type_missed_at,
    )
    delay = due.message_ride(now=now, start_at=start_at)
    return Again(delay) if _commit(tools, job, move) and delay is not None else Done()


def _spill(tools: Tools, job: Job) -> None:
    if moves.must_spill(job):
        tools.aws.send(put_history_page(tools.deployment.table, job))


def _commit(tools: Tools, job: Job, move: Call[moves.Outcome]) -> bool:
    """Send the write that ends the attempt; whether it took effect. A cancel that came before it wins."""
    outcome = tools.aws.send(move)
    if isinstance(outcome, Job):
        log.info("%s is %s after attempt %d", job.id, outcome.status, job.attempt)
        wake_deliverer(tools, outcome)
        return True
    row = outcome.job
    if row is None or (row.attempt, row.created_at) != (job.attempt, job.created_at):
        log.warning("%s: attempt %d lost its lease; nothing of it is kept", job.id, job.attempt)
        return False
    if row.status is Status.CANCELING:
        canceled = tools.aws.send(moves.cancel(tools.deployment.table, job, now=tools.clock(), error=_CANCELED))
        log.info("%s is canceled after attempt %d", job.id, job.attempt)
        if isinstance(canceled, Job):
            wake_deliverer(tools, canceled)
        return False
    # The row already left this very attempt: the reply to our own write was lost and the write repeated, or the
    # sweeper was faster. A success can only have been our own, since none but the holder of the fence can make one.
    log.info("%s was already %s after attempt %d", job.id, row.status, job.attempt)
    wake_deliverer(tools, row)
    return row.status in {Status.SUCCEEDED, Status.QUEUED}


def _describe(error: Exception, job: Job) -> JobError:
    """What a client is told. A handler's unexpected error may hold anything, so only its class is named."""
    match error:
        case Reject():
            return _told(errors.REJECTED.code, error.reason)
        case RetryLater():
            return _told(errors.HANDLER_ERROR.code, error.reason)
        case BadResult():
            return _told(errors.BAD_RESULT.code, error)
        case _:
            attempt = f"attempt {job.attempt} of {job.max_attempts}"
            return _told(errors.HANDLER_ERROR.code, f"the handler raised {type(error).__name__} in {attempt}")


def _told(code: str, detail: object) -> JobError:
    return JobError(code, labels.plain_text(detail, longest=MAX_DETAIL))
