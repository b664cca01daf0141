"""Send messages for waiting jobs: those that start soon, and those whose message may be lost."""

from __future__ import annotations

import logging
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from coatcheck.core import due
from coatcheck.core.aws.call import AwsError
from coatcheck.core.aws.dynamodb import job_updates
from coatcheck.core.aws.enqueue import job_message
from coatcheck.core.aws.sqs import MAX_BATCH, depth, send_jobs
from coatcheck.core.clock import MINUTE
from coatcheck.core.job import Job
from coatcheck.core.messages import JobMessage
from coatcheck.core.settings import WEBHOOKS
from coatcheck_worker.dependencies import Dependencies
from coatcheck_worker.sweep.due_rows import FAILED, safely

log = logging.getLogger(__name__)

MIN_REPEATED = 100
"""Messages that a sweep sends again in each lane, however many wait there."""

MAX_SOON_REPOSTPONED = 100
"""Jobs of a lane whose message does not seem lost: up to so many are checked again in a minute.

Each check is a write for each job: 100 a minute cost three dollars a month, a thousand would cost thirty.
"""

UNSENT_DELAY = 10 * MINUTE
"""When the jobs beyond that number are checked again."""


POSTPONED = "put off"


@dataclass(frozen=True, slots=True)
class PendingDispatch:
    """A job that needs a message: in its own lane, or in lane `webhooks` when an event is to be notified."""

    job: Job
    lane: str

    @property
    def what(self) -> str:
        """The name under which a sweep counts it when the message is sent."""
        return "announced" if self.job.done else "woken"

    def upcoming(self, now: int) -> bool:
        """Whether its start time is in the future, so that no message was sent for it yet."""
        return self.job.start_at is not None and self.job.start_at > now


@dataclass(frozen=True, slots=True)
class DispatchBatch:
    """Up to ten jobs of one lane. With `postpone_for` they are only postponed, by so many milliseconds."""

    lane: str
    pending: Sequence[PendingDispatch]
    postpone_for: int | None = None


def dispatch_all(
    dependencies: Dependencies, pending: Sequence[PendingDispatch], *, until: int, fraction: float
) -> Counter[str]:
    """Send messages for the jobs: first for those that are to start, then again for those that were sent one before.

    Messages are sent again only for as many as seem lost. `fraction` is the part of all jobs that `pending` may cover.
    """
    now = dependencies.clock()
    lanes = dependencies.settings.queues
    upcoming = [one for one in pending if one.lane in lanes and one.upcoming(now)]
    repeated = [one for one in pending if one.lane in lanes and not one.upcoming(now)]
    done = Counter({FAILED: len(pending) - len(upcoming) - len(repeated)})
    for lane in {one.lane for one in pending} - lanes.keys():
        log.error("lane %s of jobs that wait has no queue: give it back to COATCHECK_QUEUES", lane)
    for batches in (_upcoming_batches(upcoming), _repeated_batches(dependencies, repeated, fraction)):
        for counted in dependencies.parallel_map(partial(_dispatch_in_time, dependencies, until), list(batches)):
            done += counted
    return done


def _upcoming_batches(upcoming: Iterable[PendingDispatch]) -> Iterator[DispatchBatch]:
    for lane, pending in _by_lane(upcoming).items():
        yield from _batches(lane, pending)


def _repeated_batches(
    dependencies: Dependencies, repeated: Iterable[PendingDispatch], fraction: float
) -> Iterator[DispatchBatch]:
    """If as many messages wait as jobs do, none seems lost: another for each would only make the queue longer.

    Some jobs are sent one anyway, because the count includes messages of jobs that are not due yet. These jobs wait
    longer for their next message, so that over several sweeps each job gets one.
    """
    for lane, pending in _by_lane(repeated).items():
        lost = max(len(pending) - _queue_depth(dependencies, lane, fraction), MIN_REPEATED)
        unsent = pending[lost:]
        yield from _batches(lane, pending[:lost])
        yield from _batches(lane, unsent, postpone_for=MINUTE if len(unsent) <= MAX_SOON_REPOSTPONED else UNSENT_DELAY)


def _queue_depth(dependencies: Dependencies, lane: str, fraction: float) -> int:
    if lane == WEBHOOKS:
        # this queue also holds the messages of deliveries, which say nothing about the messages of jobs
        return 0
    try:
        return int(dependencies.transport.send(depth(dependencies.settings.queues[lane])) * fraction)
    except AwsError as error:
        log.warning("how many messages wait in lane %s is not known: %s", lane, error)
        return 0


def _by_lane(pending: Iterable[PendingDispatch]) -> dict[str, list[PendingDispatch]]:
    """The jobs by lane: a job of each tenant in turn, of each those that were sent the fewest messages first, and of
    these the longest waiting first.

    If other messages of the same age were received, that of a job that still waits is likely lost.
    """
    lanes: dict[str, list[PendingDispatch]] = defaultdict(list)
    for one in pending:
        lanes[one.lane].append(one)
    return {lane: _in_turn(of_lane) for lane, of_lane in lanes.items()}


def _in_turn(pending: Iterable[PendingDispatch]) -> list[PendingDispatch]:
    """The most urgent job of each tenant, then the second of each, and so on: many of one do not delay a few."""
    before: Counter[str] = Counter()
    turns: list[tuple[int, PendingDispatch]] = []
    for one in sorted(pending, key=lambda one: (one.job.dispatches, one.job.start_at or one.job.updated_at)):
        turns.append((before[one.job.tenant], one))
        before[one.job.tenant] += 1
    return [one for _, one in sorted(turns, key=lambda turn: turn[0])]


def _batches(
    lane: str, pending: Sequence[PendingDispatch], *, postpone_for: int | None = None
) -> Iterator[DispatchBatch]:
    for first in range(0, len(pending), MAX_BATCH):
        yield DispatchBatch(lane, pending[first : first + MAX_BATCH], postpone_for)


def _dispatch_in_time(dependencies: Dependencies, until: int, batch: DispatchBatch) -> Counter[str]:
    if dependencies.clock() >= until:
        return Counter(left=len(batch.pending))
    try:
        return _dispatch(dependencies, batch)
    except AwsError as error:
        log.warning("%d jobs of lane %s are not woken: %s", len(batch.pending), batch.lane, error)
    except Exception:
        log.exception("%d jobs of lane %s are not woken", len(batch.pending), batch.lane)
    return Counter({FAILED: len(batch.pending)})


def _dispatch(dependencies: Dependencies, batch: DispatchBatch) -> Counter[str]:
    """Send the messages, then write the rows: if this ends in between, the next sweep sends others."""
    now = dependencies.clock()
    delays = [due.message_delay(now=now, start_at=one.job.start_at) for one in batch.pending]
    messages = {
        position: (job_message(one.job), delay)
        for position, (one, delay) in enumerate(zip(batch.pending, delays, strict=True))
        if batch.postpone_for is None and delay is not None
    }
    unsent = messages.keys() - _sent(dependencies, batch.lane, messages)
    if unsent:
        log.warning("%d messages were not taken by the queue of lane %s", len(unsent), batch.lane)
    done = Counter({FAILED: len(unsent)})
    for position, one in enumerate(batch.pending):
        if position not in unsent:
            what = one.what if position in messages else POSTPONED
            done[safely(partial(_postpone, dependencies, one.job, now, what, batch.postpone_for), one.job.id)] += 1
    return done


def _sent(dependencies: Dependencies, lane: str, messages: Mapping[int, tuple[JobMessage, int]]) -> set[int]:
    """Send the messages. Returns the keys of those that SQS accepted."""
    if not messages:
        return set()
    taken = dependencies.transport.send(send_jobs(dependencies.settings.queues[lane], list(messages.values())))
    return {position for index, position in enumerate(messages) if index in taken}


def _postpone(dependencies: Dependencies, job: Job, now: int, what: str, postpone_for: int | None) -> str:
    """Write when to check the job again. Returns `what`, as what was done."""
    dispatches = job.dispatches + (what != POSTPONED)
    if postpone_for is None:
        due_at = due.for_dispatch(
            now=now, start_at=job.start_at, queue_deadline=job.queue_deadline, dispatches=dispatches
        )
    else:
        due_at = due.for_queued(now=now, wait=postpone_for, queue_deadline=job.queue_deadline)
    dependencies.transport.send(
        job_updates.postpone(dependencies.settings.table, job, due_at=due_at, dispatches=dispatches)
    )
    return what
