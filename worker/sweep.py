"""The sweeper's work: do what is overdue by the rows' `due_at`. It may run twice at once and stop anywhere."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Mapping
from functools import partial

from coatcheck import due, errors
from coatcheck.calls import AwsError
from coatcheck.clock import SECOND
from coatcheck.lifecycle import FAIL, TIME_OUT, Status
from coatcheck.messages import JobMessage
from coatcheck.queues import send_job
from coatcheck.record import Job, JobError
from coatcheck.table import items, moves, notes
from coatcheck.table.codec import NewerRow
from coatcheck.table.keys import DUE_SHARDS, JobKey
from worker import dead_letters, leftovers
from worker.heart import BEATS_PER_LEASE
from worker.tools import Tools

log = logging.getLogger(__name__)

PAGE = 100


def sweep(tools: Tools, *, until: int) -> Counter[str]:
    """Attend to every overdue job, until the time `until` at the latest; counts what was done, by its name.

    Where one look fails, the others are taken all the same. Raises AwsError then.
    """
    done: Counter[str] = Counter()
    failed: AwsError | None = None
    looks = [partial(_look_into, shard) for shard in DUE_SHARDS] + [dead_letters.look_through]
    for look in looks:
        try:
            done += look(tools, until=until)
        except AwsError as error:
            log.warning("a part of the sweep is left out: %s", error)
            failed = error
    if failed is not None:
        raise failed
    return done


def _look_into(shard: str, tools: Tools, *, until: int) -> Counter[str]:
    done: Counter[str] = Counter()
    seen: set[JobKey] = set()
    while tools.clock() < until:
        due_now = tools.aws.send(
            items.due_jobs(tools.deployment.table, shard, now=tools.clock(), limit=PAGE + len(seen))
        )
        fresh = [key for key in due_now if key not in seen]
        if not fresh:
            break
        seen.update(fresh)
        done.update(_attend_safely(tools, key) for key in fresh)
    return done


def _attend_safely(tools: Tools, key: JobKey) -> str:
    try:
        job = tools.aws.send(items.get_job(tools.deployment.table, key))
        return "gone" if job is None else attend(tools, job)
    except NewerRow:
        return "newer"
    except AwsError as error:
        log.warning("sweep of %s: %s", key.id, error)
    except Exception:
        log.exception("sweep of %s", key.id)
    # one job that cannot be helped now must not keep the others from it
    return "failed"


def attend(tools: Tools, job: Job) -> str:
    """Do what the row asks for now, if anything; says what it was. Raises AwsError."""
    what = _BY_STATUS.get(job.status, _remove)(tools, job)
    if what != "early":
        log.info("sweep: %s was %s: %s", job.id, job.status, what)
    return what


def _wake(tools: Tools, job: Job) -> str:
    """A job that waits: its message was never sent, was lost, or is late. Send one; twice does no harm."""
    now = tools.clock()
    table = tools.deployment.table
    if job.waiting_since_too_long(now):
        error = JobError(errors.QUEUE_TTL_PASSED.code, "not started within its queue_ttl")
        tools.aws.send(moves.expire(table, job, now=now, error=error))
        return "expired"
    if job.due_at is not None and job.due_at > now:
        return "early"
    delay = due.message_delay(now=now, start_at=job.start_at)
    if delay is not None:
        _send(tools, job, delay)
    dispatches = job.dispatches + (delay is not None)
    due_at = due.for_dispatch(now=now, start_at=job.start_at, queue_deadline=job.queue_deadline, dispatches=dispatches)
    tools.aws.send(notes.postpone(table, job, due_at=due_at, dispatches=dispatches))
    return "early" if delay is None else "woken"


def _take_from_lost_worker(tools: Tools, job: Job) -> str:
    """A job whose lease may have run out: its worker died, or is cut off."""
    now = tools.clock()
    if job.lease_until is None or now <= job.lease_until:
        return "early"
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
        return _taken(tools, job, outcome, "given up")
    if moves.must_spill(job):
        tools.aws.send(items.put_history_page(table, job))
    outcome = tools.aws.send(moves.retry(table, job, now=now, start_at=now, error=error, sweeper=True))
    if isinstance(outcome, Job):
        _send(tools, outcome, 0)
    return _taken(tools, job, outcome, "requeued")


def _overran(job: Job, lease: int) -> bool:
    """Whether the worker still beat when its attempt's time was up, as far as can be told from its last beat.

    A worker that lives settles by itself, so one that was never heard of after its claim died or hangs.
    """
    if job.lease_until is None or job.claimed_at is None or job.run_deadline is None:
        return False
    last_beat = job.lease_until - lease
    return last_beat > job.claimed_at and job.run_deadline - last_beat <= lease // BEATS_PER_LEASE + SECOND


def _taken(tools: Tools, job: Job, outcome: moves.Outcome, what: str) -> str:
    """The attempt of `job` is over, unless its worker was faster after all: what it left behind can go."""
    if not isinstance(outcome, Job):
        return "too late"
    leftovers.discard_lost(tools, job)
    return what


def _finish_cancel(tools: Tools, job: Job) -> str:
    """A cancel whose worker is gone."""
    now = tools.clock()
    if job.lease_until is not None and now <= job.lease_until:
        return "early"
    error = JobError(errors.CANCELED.code, "canceled; its worker had stopped answering")
    outcome = tools.aws.send(moves.cancel(tools.deployment.table, job, now=now, error=error, sweeper=True))
    return _taken(tools, job, outcome, "canceled")


def _remove(tools: Tools, job: Job) -> str:
    """A finished job, of which there may be something in the bucket when its retention is over."""
    if job.due_at is None or job.due_at > tools.clock():
        return "early"
    leftovers.remove_expired(tools, job)
    tools.aws.send(notes.postpone(tools.deployment.table, job, due_at=None, dispatches=job.dispatches))
    return "removed"


def _send(tools: Tools, job: Job, delay: int) -> None:
    queue_url = tools.deployment.queues[job.lane]
    tools.aws.send(send_job(queue_url, JobMessage(tenant=job.tenant, job=job.id), delay=delay))


_BY_STATUS: Mapping[Status, Callable[[Tools, Job], str]] = {
    Status.SCHEDULED: _wake,
    Status.QUEUED: _wake,
    Status.RUNNING: _take_from_lost_worker,
    Status.CANCELING: _finish_cancel,
}
