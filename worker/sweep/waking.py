"""Messages for jobs that wait: those that start soon, and those whose message may be lost."""

from __future__ import annotations

import logging
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from coatcheck import due
from coatcheck.calls import AwsError
from coatcheck.clock import MINUTE
from coatcheck.deployment import WEBHOOKS
from coatcheck.messages import JobMessage
from coatcheck.queues import MOST_IN_BATCH, depth, send_jobs
from coatcheck.record import Job
from coatcheck.table import notes
from worker.sweep.rows import FAILED, safely
from worker.tools import Tools

log = logging.getLogger(__name__)

ALWAYS_AGAIN = 100
"""Messages that a sweep sends again in each lane however many wait there."""

FEW = 1000
"""Up to so many jobs of a lane that were sent no message, since none seemed lost, are looked at again in a minute."""

UNSENT_AGAIN = 10 * MINUTE
"""When more than that are looked at again: each look is a write for each of them."""


PUT_OFF = "put off"


@dataclass(frozen=True, slots=True)
class WakeUp:
    """A job that needs a message in a lane: its own, or that of the webhooks when somebody is to be told of it."""

    job: Job
    lane: str

    @property
    def what(self) -> str:
        """What a sweep calls it when the message is sent."""
        return "announced" if self.job.done else "woken"

    def starts(self, now: int) -> bool:
        """Whether its time to start is still to come, so that no message of it was sent yet."""
        return self.job.start_at is not None and self.job.start_at > now


@dataclass(frozen=True, slots=True)
class WakeBatch:
    """Up to ten of one lane. With `unsent_for` they are only put off, for so many milliseconds."""

    lane: str
    wake_ups: Sequence[WakeUp]
    unsent_for: int | None = None


def wake_all(tools: Tools, wake_ups: Sequence[WakeUp], *, until: int, part: float) -> Counter[str]:
    """Send messages for the jobs: first those that are to start, then again for those that were sent one before.

    Of the latter no more than seem to be lost. `part` is the part of all the jobs that these may be of.
    """
    now = tools.clock()
    lanes = tools.deployment.queues
    starts = [one for one in wake_ups if one.lane in lanes and one.starts(now)]
    agains = [one for one in wake_ups if one.lane in lanes and not one.starts(now)]
    done = Counter({FAILED: len(wake_ups) - len(starts) - len(agains)})
    for lane in {one.lane for one in wake_ups} - lanes.keys():
        log.error("lane %s of jobs that wait has no queue: give it back to COATCHECK_QUEUES", lane)
    for batches in (_of_starts(starts), _of_agains(tools, agains, part)):
        for counted in tools.side_by_side(partial(_wake_in_time, tools, until), list(batches)):
            done += counted
    return done


def _of_starts(starts: Iterable[WakeUp]) -> Iterator[WakeBatch]:
    for lane, wake_ups in _by_lane(starts).items():
        yield from _batches(lane, wake_ups)


def _of_agains(tools: Tools, agains: Iterable[WakeUp], part: float) -> Iterator[WakeBatch]:
    """Where as many messages wait as jobs do, none seems lost: another for each would only make the queue longer.

    Some are sent one all the same, as messages of jobs that are not due yet are counted too. Those wait longer for the
    next, so that in sweep after sweep each has its turn.
    """
    for lane, wake_ups in _by_lane(agains).items():
        lost = max(len(wake_ups) - _waiting(tools, lane, part), ALWAYS_AGAIN)
        unsent = wake_ups[lost:]
        yield from _batches(lane, wake_ups[:lost])
        yield from _batches(lane, unsent, unsent_for=MINUTE if len(unsent) <= FEW else UNSENT_AGAIN)


def _waiting(tools: Tools, lane: str, part: float) -> int:
    if lane == WEBHOOKS:
        # the messages of deliveries are in it too, which say nothing of those that tell of jobs
        return 0
    try:
        return int(tools.aws.send(depth(tools.deployment.queues[lane])) * part)
    except AwsError as error:
        log.warning("how many messages wait in lane %s is not known: %s", lane, error)
        return 0


def _by_lane(wake_ups: Iterable[WakeUp]) -> dict[str, list[WakeUp]]:
    """Those that were sent the fewest first, and of these who has waited longest.

    Where others of its age were taken, the message of one that still waits is likely lost.
    """
    lanes: dict[str, list[WakeUp]] = defaultdict(list)
    for one in wake_ups:
        lanes[one.lane].append(one)
    for of_lane in lanes.values():
        of_lane.sort(key=lambda one: (one.job.dispatches, one.job.start_at or one.job.updated_at))
    return lanes


def _batches(lane: str, wake_ups: Sequence[WakeUp], *, unsent_for: int | None = None) -> Iterator[WakeBatch]:
    for first in range(0, len(wake_ups), MOST_IN_BATCH):
        yield WakeBatch(lane, wake_ups[first : first + MOST_IN_BATCH], unsent_for)


def _wake_in_time(tools: Tools, until: int, batch: WakeBatch) -> Counter[str]:
    if tools.clock() >= until:
        return Counter(left=len(batch.wake_ups))
    try:
        return _wake(tools, batch)
    except AwsError as error:
        log.warning("%d jobs of lane %s are not woken: %s", len(batch.wake_ups), batch.lane, error)
    except Exception:
        log.exception("%d jobs of lane %s are not woken", len(batch.wake_ups), batch.lane)
    return Counter({FAILED: len(batch.wake_ups)})


def _wake(tools: Tools, batch: WakeBatch) -> Counter[str]:
    """The message goes before the row is written: when this ends in between, the next sweep sends another."""
    now = tools.clock()
    delays = [due.message_delay(now=now, start_at=one.job.start_at) for one in batch.wake_ups]
    messages = {
        position: (JobMessage(tenant=one.job.tenant, job=one.job.id), delay)
        for position, (one, delay) in enumerate(zip(batch.wake_ups, delays, strict=True))
        if batch.unsent_for is None and delay is not None
    }
    unsent = messages.keys() - _sent(tools, batch.lane, messages)
    if unsent:
        log.warning("%d messages were not taken by the queue of lane %s", len(unsent), batch.lane)
    done = Counter({FAILED: len(unsent)})
    for position, one in enumerate(batch.wake_ups):
        if position not in unsent:
            what = one.what if position in messages else PUT_OFF
            done[safely(partial(_put_off, tools, one.job, now, what, batch.unsent_for), one.job.id)] += 1
    return done


def _sent(tools: Tools, lane: str, messages: Mapping[int, tuple[JobMessage, int]]) -> set[int]:
    """Send the messages; the keys of those that SQS took."""
    if not messages:
        return set()
    taken = tools.aws.send(send_jobs(tools.deployment.queues[lane], list(messages.values())))
    return {position for index, position in enumerate(messages) if index in taken}


def _put_off(tools: Tools, job: Job, now: int, what: str, unsent_for: int | None) -> str:
    """Note when to look at the job again; says `what` was done."""
    dispatches = job.dispatches + (what != PUT_OFF)
    if unsent_for is None:
        due_at = due.for_dispatch(
            now=now, start_at=job.start_at, queue_deadline=job.queue_deadline, dispatches=dispatches
        )
    else:
        due_at = due.for_queued(now=now, wait=unsent_for, queue_deadline=job.queue_deadline)
    tools.aws.send(notes.postpone(tools.deployment.table, job, due_at=due_at, dispatches=dispatches))
    return what
