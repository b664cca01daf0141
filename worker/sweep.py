"""The sweeper's work: do what is overdue by the rows' `due_at`. It may run twice at once and stop anywhere."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import TypeVar

from coatcheck import due, errors
from coatcheck.calls import AwsError, Call
from coatcheck.clock import SECOND
from coatcheck.lifecycle import FAIL, TIME_OUT, Status
from coatcheck.messages import JobMessage
from coatcheck.queues import send_job
from coatcheck.record import Job, JobError
from coatcheck.table import items, moves, notes
from coatcheck.table.codec import NewerRow
from coatcheck.table.history import put_history_page
from coatcheck.table.keys import DUE_SHARDS, JobKey
from coatcheck.table.webhooks import DELIVERY_SHARDS, due_deliveries
from coatcheck.webhooks import DeliveryKey, unannounced
from worker import dead_letters, leftovers
from worker.heart import BEATS_PER_LEASE
from worker.tools import Tools
from worker.webhooks import overdue
from worker.webhooks.wake import send_wake_up, wake_deliverer

log = logging.getLogger(__name__)

PAGE = 100

Key = TypeVar("Key", JobKey, DeliveryKey)


def sweep(tools: Tools, *, until: int) -> Counter[str]:
    """Attend to every overdue job and delivery, until the time `until` at the latest; counts what was done, by name.

    Where one look fails, the others are taken all the same. Raises AwsError then.
    """
    done: Counter[str] = Counter()
    failed: AwsError | None = None
    for look in _looks(tools):
        try:
            done += look(until=until)
        except AwsError as error:
            log.warning("a part of the sweep is left out: %s", error)
            failed = error
    if failed is not None:
        raise failed
    return done


def _looks(tools: Tools) -> Iterator[Callable[..., Counter[str]]]:
    table = tools.deployment.table
    for shard in DUE_SHARDS:
        yield partial(_look_through, tools, partial(items.due_jobs, table, shard), _attend_to)
    for shard in DELIVERY_SHARDS:
        yield partial(_look_through, tools, partial(due_deliveries, table, shard), overdue.attend)
    yield partial(dead_letters.look_through, tools)


def _look_through(
    tools: Tools, find: Callable[..., Call[Sequence[Key]]], attend_to: Callable[[Tools, Key], str], *, until: int
) -> Counter[str]:
    """Attend to all that `find` finds overdue, page by page."""
    done: Counter[str] = Counter()
    seen: set[Key] = set()
    while tools.clock() < until:
        due_now = tools.aws.send(find(now=tools.clock(), limit=PAGE + len(seen)))
        fresh = [key for key in due_now if key not in seen]
        if not fresh:
            break
        seen.update(fresh)
        done.update(_safely(attend_to, tools, key) for key in fresh)
    return done


def _safely(attend_to: Callable[[Tools, Key], str], tools: Tools, key: Key) -> str:
    try:
        return attend_to(tools, key)
    except NewerRow:
        return "newer"
    except AwsError as error:
        log.warning("sweep of %s: %s", key.id, error)
    except Exception:
        log.exception("sweep of %s", key.id)
    # one that cannot be helped now must not keep the others from it
    return "failed"


def _attend_to(tools: Tools, key: JobKey) -> str:
    job = tools.aws.send(items.get_job(tools.deployment.table, key))
    return "gone" if job is None else attend(tools, job)


def attend(tools: Tools, job: Job) -> str:
    """Do what the row asks for now, if anything; says what it was. Raises AwsError."""
    what = _BY_STATUS.get(job.status, _after_its_end)(tools, job)
    if what != "early":
        log.info("sweep: %s was %s: %s", job.id, job.status, what)
    return what


def _wake(tools: Tools, job: Job) -> str:
    """A job that waits: its message was never sent, was lost, or is late. Send one; twice does no harm."""
    now = tools.clock()
    table = tools.deployment.table
    if job.waiting_since_too_long(now):
        error = JobError(errors.QUEUE_TTL_PASSED.code, "not started within its queue_ttl")
        outcome = tools.aws.send(moves.expire(table, job, now=now, error=error))
        if isinstance(outcome, Job):
            wake_deliverer(tools, outcome)
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
        tools.aws.send(put_history_page(table, job))
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
    wake_deliverer(tools, outcome)
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


def _after_its_end(tools: Tools, job: Job) -> str:
    """A finished job of which somebody is still to be told or, when its retention is over, bytes to be removed."""
    now = tools.clock()
    if job.due_at is None or job.due_at > now:
        return "early"
    if job.gone(now):
        leftovers.remove_expired(tools, job)
        what, due_at, dispatches = "removed", None, job.dispatches
    elif unannounced(job):
        send_wake_up(tools, job)
        dispatches = job.dispatches + 1
        due_at = due.for_dispatch(now=now, start_at=None, queue_deadline=None, dispatches=dispatches)
        what = "announced"
    else:
        # told of while it was settled
        what, due_at, dispatches = "early", due.for_removal(job), job.dispatches
    tools.aws.send(notes.postpone(tools.deployment.table, job, due_at=due_at, dispatches=dispatches))
    return what


def _send(tools: Tools, job: Job, delay: int) -> None:
    queue_url = tools.deployment.queues[job.lane]
    tools.aws.send(send_job(queue_url, JobMessage(tenant=job.tenant, job=job.id), delay=delay))


_BY_STATUS: Mapping[Status, Callable[[Tools, Job], str]] = {
    Status.SCHEDULED: _wake,
    Status.QUEUED: _wake,
    Status.RUNNING: _take_from_lost_worker,
    Status.CANCELING: _finish_cancel,
}
