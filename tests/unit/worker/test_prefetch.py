"""What is received ahead: only while jobs are quick, and nothing waits for long."""

from __future__ import annotations

import itertools

from coatcheck.core.aws.sqs import MAX_BATCH, ReceivedMessage
from coatcheck_worker.supervisor.prefetch import MAX_WAIT, SAMPLE, PrefetchBuffer


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


HANDLES = map(str, itertools.count())


def messages(count: int) -> list[ReceivedMessage]:
    return [ReceivedMessage("queue", next(HANDLES), "{}") for _ in range(count)]


def run_one(buffer: PrefetchBuffer, clock: Clock, seconds: float) -> None:
    buffer.put(messages(1))
    taken = buffer.take()
    assert taken is not None
    clock.now += seconds
    buffer.done(taken)


def after(seconds: float, *, runners: int = 1, jobs: int = SAMPLE) -> tuple[PrefetchBuffer, Clock]:
    """A buffer whose jobs have taken so long."""
    clock = Clock()
    buffer = PrefetchBuffer(runners, clock)
    for _ in range(jobs):
        run_one(buffer, clock, seconds)
    return buffer, clock


def busy(buffer: PrefetchBuffer) -> None:
    """A thread is at a job from now on."""
    buffer.put(messages(1))
    buffer.take()


def test_at_first_no_more_is_received_than_can_begin() -> None:
    for runners in (1, 4, 40):
        assert PrefetchBuffer(runners, Clock()).room(0) == min(runners, MAX_BATCH)
    buffer, _ = after(0.01, jobs=SAMPLE - 1)
    busy(buffer)
    assert buffer.room(0) == 0


def test_while_jobs_are_quick_as_many_are_received_as_begin_soon() -> None:
    for seconds, ahead in ((0.01, MAX_BATCH), (0.1, 5), (0.25, 2), (0.6, 0), (3600, 0)):
        buffer, _ = after(seconds)
        busy(buffer)
        assert buffer.room(0) == ahead


def test_the_slowest_of_the_last_jobs_counts() -> None:
    buffer, clock = after(0.01)
    run_one(buffer, clock, 2)
    busy(buffer)
    assert buffer.room(0) == 0


def test_nothing_is_received_for_runners_at_long_jobs() -> None:
    buffer, clock = after(0.2, runners=2)
    busy(buffer)
    clock.now += MAX_WAIT
    busy(buffer)
    assert buffer.room(0) == 2
    clock.now += MAX_WAIT
    assert buffer.room(0) == 0


def test_no_more_is_received_while_messages_wait() -> None:
    buffer, _ = after(0.01)
    busy(buffer)
    buffer.put(messages(2))
    assert buffer.room(0) == 0


def test_what_waits_too_long_is_handed_back_and_nothing_is_received_ahead_for_now() -> None:
    buffer, clock = after(0.01)
    busy(buffer)
    early, late = messages(2)
    buffer.put([early])
    clock.now += MAX_WAIT / 2
    buffer.put([late])
    assert buffer.take_overdue() == []
    clock.now += MAX_WAIT / 2
    assert buffer.take_overdue() == [early]
    assert buffer.take() == late
    buffer.done(late)
    assert buffer.room(0) == 0


def test_what_is_left_at_the_end_is_given_back_and_threads_end() -> None:
    buffer, _ = after(0.01)
    busy(buffer)
    left = messages(3)
    buffer.put(left)
    assert buffer.close() == left
    assert buffer.take() is None
