"""When nothing goes wrong jobs start on time, end in time, and go on for hours: in virtual time, which costs little."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from coatcheck.clock import DAY, HOUR, MINUTE, SECOND
from coatcheck.lifecycle import Status
from coatcheck.record import Job
from coatcheck.wire import SubmitRequest
from tests.simulation import plans
from tests.simulation.actors import Cast
from tests.simulation.clients import Errand, client
from tests.simulation.plans import Act, Plan, Work
from tests.simulation.schedule import stage
from tests.simulation.scheduler import START, Process, Threads
from tests.simulation.world import World

WORKERS = ("poller", "function")


@pytest.fixture(scope="module")
def threads() -> Iterator[Threads]:
    """Threads for all schedules of this module."""
    made = Threads()
    yield made
    made.close()


class Hours(Work):
    """A handler of a job of thirty legs."""

    legs = 30


def _played(
    threads: Threads, worker: str, acts: list[Act], *, work: type[Work] = Work, seed: int = 0, **asked: Any
) -> Job:
    """The job as it is at the end, of which one worker did `acts` beside one sweeper."""
    worlds: list[World] = []

    def set_up(world: World) -> None:
        worlds.append(world)

        def handlers(process: Process) -> Any:
            return work(world, process).handlers()

        cast = Cast(world, handlers)
        cast.start("worker", 0, getattr(cast, worker))
        cast.start("sweeper", 0, cast.sweeper)
        given = Plan(acts=acts).model_dump()
        request = SubmitRequest(type=plans.JOB_TYPE.name, input=given, metadata={"errand": "0"}, **asked)
        cast.start("api", 0, client(world, plans.CATALOG, Errand(START + seed * 7 * SECOND, request, "key", None)))

    outcome = stage(seed, threads, set_up, patience=400 * DAY)
    assert outcome.flaws == ()
    (job,) = worlds[0].checks.rows.values()
    return job


def _late(job: Job, delay: float) -> float:
    assert job.started_at is not None
    return (job.started_at - job.created_at) / SECOND - delay


@pytest.mark.parametrize("worker", WORKERS)
@pytest.mark.parametrize("delay", [1, 60, 420, 899])
def test_a_short_delay_ends_within_two_seconds(threads: Threads, worker: str, delay: int) -> None:
    for seed in range(5):
        job = _played(threads, worker, [Act(kind="succeed", seconds=1)], delay=delay, seed=seed)
        assert 0 <= _late(job, delay) <= 2


@pytest.mark.parametrize("worker", WORKERS)
@pytest.mark.parametrize("delay", [901, 20 * 60, 86_400])
def test_a_long_delay_ends_within_a_minute(threads: Threads, worker: str, delay: int) -> None:
    for seed in range(5):
        job = _played(threads, worker, [Act(kind="succeed", seconds=1)], delay=delay, seed=seed)
        assert 0 <= _late(job, delay) <= 60


def test_a_delay_of_most_of_a_year_ends_within_a_minute(threads: Threads) -> None:
    days = 300 * DAY // SECOND
    assert 0 <= _late(_played(threads, "poller", [Act(kind="succeed", seconds=1)], delay=days), days) <= 60


@pytest.mark.parametrize("worker", WORKERS)
def test_a_retry_comes_when_its_backoff_is_over(threads: Threads, worker: str) -> None:
    for seed in range(5):
        job = _played(threads, worker, [Act(kind="fail", seconds=0), Act(kind="succeed", seconds=0)], seed=seed)
        assert job.status is Status.SUCCEEDED
        assert job.finished_at is not None
        # the backoff before the second attempt is at most the policy's base, which is 2 s
        assert job.finished_at - job.created_at <= 5 * SECOND


@pytest.mark.parametrize("worker", WORKERS)
def test_hours_pass_in_legs_of_which_none_is_counted(threads: Threads, worker: str) -> None:
    job = _played(threads, worker, [Act(kind="continue", seconds=600)], work=Hours, max_attempts=2)
    assert job.status is Status.SUCCEEDED
    assert (job.attempt, job.max_attempts) == (Hours.legs, 2 + Hours.legs - 1)
    assert job.finished_at is not None
    # a leg follows the last at once: the rest is the way to AWS and back, and a look at the context
    assert Hours.legs * 10 * MINUTE <= job.finished_at - job.created_at <= Hours.legs * (10 * MINUTE + 5 * SECOND)
    assert job.finished_at - job.created_at >= 5 * HOUR


@pytest.mark.parametrize("kind", ["deaf", "succeed"])
def test_a_lambda_stops_before_it_is_killed(threads: Threads, kind: str) -> None:
    for seed in range(5):
        job = _played(threads, "function", [Act(kind=kind, seconds=1500)], max_attempts=1, seed=seed)
        assert job.status is Status.TIMED_OUT
        assert job.finished_at is not None
        assert job.started_at is not None
        assert 880 * SECOND <= job.finished_at - job.started_at <= 900 * SECOND
