"""How a process looks at the jobs that its requests follow."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from coatcheck.core.job import Job, JobEvent, Progress
from coatcheck.core.lifecycle import Status
from coatcheck_service.job_feed import MAX_PAUSE_SECONDS, MIN_PAUSE_SECONDS, FollowedJob, JobFeed
from tests.job_rows import NOW, make_job
from tests.unit.service.in_process import FailingTransport

JOB = make_job()
STARTED = replace(
    JOB, version=2, status=Status.RUNNING, attempt=1, history=(*JOB.history, JobEvent("job.started", NOW + 1))
)
RENEWED = replace(STARTED, version=3, lease_until=NOW + 60_000)


@pytest.mark.parametrize("quiet", [0.0, 0.1, 1.0, 4.0, 7.0, 3600.0])
def test_a_change_is_seen_within_a_quarter_of_the_time_that_the_job_was_quiet(quiet: float) -> None:
    followed = FollowedJob(JOB, 100.0)
    followed.saw(None, 100.0 + quiet)
    pause = followed.next_look - (100.0 + quiet)
    assert pause == pytest.approx(min(max(quiet / 4, MIN_PAUSE_SECONDS), MAX_PAUSE_SECONDS))


def test_after_a_change_the_looks_begin_anew() -> None:
    followed = FollowedJob(JOB, 0.0)
    followed.saw(RENEWED, 100.0)
    assert followed.next_look == pytest.approx(100.0 + MIN_PAUSE_SECONDS)
    followed.saw(replace(RENEWED, version=4, lease_until=NOW + 90_000), 120.0)
    assert followed.next_look == pytest.approx(120.0 + MAX_PAUSE_SECONDS)


def test_an_older_state_is_dropped() -> None:
    followed = FollowedJob(STARTED, 0.0)
    followed.saw(JOB, 1.0)
    assert followed.job is STARTED
    next_job = replace(JOB, created_at=NOW + 1)
    followed.saw(next_job, 2.0)
    assert followed.job is next_job


@pytest.mark.parametrize(
    ("before", "after", "told"),
    [
        (JOB, STARTED, True),
        (STARTED, RENEWED, False),
        (STARTED, replace(RENEWED, progress=Progress(0.5)), True),
        (STARTED, replace(RENEWED, status=Status.CANCELING), True),
    ],
    ids=["event", "renewed", "progress", "status"],
)
async def test_who_waits_is_told_of_what_clients_see(before: Job, after: Job, told: bool) -> None:  # noqa: FBT001
    followed = FollowedJob(before, 0.0)
    waiting = asyncio.create_task(followed.next(before, 0.05))
    await asyncio.sleep(0)
    followed.saw(after, 1.0)
    assert await waiting is (after if told else None)


async def test_looks_go_on_though_nothing_can_be_read_and_end_when_nobody_follows() -> None:
    feed = JobFeed()
    for error in (RuntimeError, ValueError):
        with feed.follow(FailingTransport(error), "t", JOB) as followed:
            first = followed.next_look
            async with asyncio.timeout(10):
                while followed.next_look == first:  # noqa: ASYNC110 - another task looks
                    await asyncio.sleep(0.01)
            with feed.follow(FailingTransport(error), "t", JOB) as again:
                assert again is followed
    async with asyncio.timeout(10):
        while len(asyncio.all_tasks()) > 1:  # noqa: ASYNC110 - as above
            await asyncio.sleep(0.01)
