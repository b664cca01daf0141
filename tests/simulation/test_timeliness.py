"""When nothing goes wrong jobs start on time, end in time, and go on for hours: in virtual time, which costs little."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from coatcheck.core.api.models import SubmitRequest
from coatcheck.core.clock import DAY, HOUR, MINUTE, SECOND
from coatcheck.core.job import Job
from coatcheck.core.lifecycle import Status
from tests.simulation import job_plans
from tests.simulation.actors import ProcessStarter
from tests.simulation.clients import ClientScript, client
from tests.simulation.job_plans import AttemptPlan, JobPlan, PlannedHandler
from tests.simulation.schedule import play_scenario
from tests.simulation.scheduler import START, Process, Threads
from tests.simulation.world import World

WORKERS = ("poller", "function")


@pytest.fixture(scope="module")
def threads() -> Iterator[Threads]:
    """Threads for all schedules of this module."""
    made = Threads()
    yield made
    made.close()


class LongJobHandler(PlannedHandler):
    """A handler of a job of thirty legs."""

    legs = 30


def _played(
    threads: Threads,
    worker: str,
    acts: list[AttemptPlan],
    *,
    work: type[PlannedHandler] = PlannedHandler,
    seed: int = 0,
    **asked: Any,
) -> Job:
    """The job as it is at the end, of which one worker did `acts` beside one sweeper."""
    worlds: list[World] = []

    def set_up(world: World) -> None:
        worlds.append(world)

        def handlers(process: Process) -> Any:
            return work(world, process).handlers()

        processes = ProcessStarter(world, handlers)
        processes.start("worker", 0, getattr(processes, worker))
        processes.start("sweeper", 0, processes.sweeper)
        given = JobPlan(acts=acts).model_dump()
        request = SubmitRequest(type=job_plans.JOB_TYPE.name, input=given, metadata={"errand": "0"}, **asked)
        processes.start(
            "api", 0, client(world, job_plans.CATALOG, ClientScript(START + seed * 7 * SECOND, request, "key", None))
        )

    outcome = play_scenario(seed, threads, set_up, patience=400 * DAY)
    assert outcome.violations == ()
    (job,) = worlds[0].checks.rows.values()
    return job


def _late(job: Job, delay: float) -> float:
    assert job.started_at is not None
    return (job.started_at - job.created_at) / SECOND - delay


@pytest.mark.parametrize("worker", WORKERS)
@pytest.mark.parametrize("delay", [1, 60, 420, 899])
def test_a_short_delay_ends_within_two_seconds(threads: Threads, worker: str, delay: int) -> None:
    for seed in range(5):
        job = _played(threads, worker, [AttemptPlan(kind="succeed", seconds=1)], delay=delay, seed=seed)
        assert 0 <= _late(job, delay) <= 2


@pytest.mark.parametrize("worker", WORKERS)
@pytest.mark.parametrize("delay", [901, 20 * 60, 86_400])
def test_a_long_delay_ends_within_a_minute(threads: Threads, worker: str, delay: int) -> None:
    for seed in range(5):
        job = _played(threads, worker, [AttemptPlan(kind="succeed", seconds=1)], delay=delay, seed=seed)
        assert 0 <= _late(job, delay) <= 60


def test_a_delay_of_most_of_a_year_ends_within_a_minute(threads: Threads) -> None:
    days = 300 * DAY // SECOND
    assert 0 <= _late(_played(threads, "poller", [AttemptPlan(kind="succeed", seconds=1)], delay=days), days) <= 60


@pytest.mark.parametrize("worker", WORKERS)
def test_a_retry_comes_when_its_backoff_is_over(threads: Threads, worker: str) -> None:
    for seed in range(5):
        job = _played(
            threads, worker, [AttemptPlan(kind="fail", seconds=0), AttemptPlan(kind="succeed", seconds=0)], seed=seed
        )
        assert job.status is Status.SUCCEEDED
        assert job.finished_at is not None
        # the backoff before the second attempt is at most the policy's base, which is 2 s
        assert job.finished_at - job.created_at <= 5 * SECOND


@pytest.mark.parametrize("worker", WORKERS)
def test_hours_pass_in_legs_of_which_none_is_counted(threads: Threads, worker: str) -> None:
    job = _played(threads, worker, [AttemptPlan(kind="continue", seconds=600)], work=LongJobHandler, max_attempts=2)
    assert job.status is Status.SUCCEEDED
    assert (job.attempt, job.max_attempts) == (LongJobHandler.legs, 2 + LongJobHandler.legs - 1)
    assert job.finished_at is not None
    # a leg follows the last at once: the rest is the way to AWS and back, and a look at the context
    assert (
        LongJobHandler.legs * 10 * MINUTE
        <= job.finished_at - job.created_at
        <= LongJobHandler.legs * (10 * MINUTE + 5 * SECOND)
    )
    assert job.finished_at - job.created_at >= 5 * HOUR


@pytest.mark.parametrize("kind", ["deaf", "succeed"])
def test_a_lambda_stops_before_it_is_killed(threads: Threads, kind: str) -> None:
    for seed in range(5):
        job = _played(threads, "function", [AttemptPlan(kind=kind, seconds=1500)], max_attempts=1, seed=seed)
        assert job.status is Status.TIMED_OUT
        assert job.finished_at is not None
        assert job.started_at is not None
        assert 880 * SECOND <= job.finished_at - job.started_at <= 900 * SECOND
