"""Learns of changes to jobs by looking at their rows: one look per job for all who follow it, many jobs in a request.

A row is looked at the more rarely, the longer it has not changed: a change is seen late by a quarter of the time that
the job has been quiet, and by `MAX_PAUSE_SECONDS` at most. Rows are read eventually consistent, for half the price; an
older state than the one known is dropped.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress

from coatcheck.aws_transport.protocols import AsyncTransport
from coatcheck.core.aws.call import AwsError
from coatcheck.core.aws.dynamodb import job_items
from coatcheck.core.aws.dynamodb.keys import JobKey
from coatcheck.core.job import Job

log = logging.getLogger(__name__)

TICK_SECONDS = 0.1
"""Seconds between two rounds. Each round looks at the jobs that are due for a look."""

MIN_PAUSE_SECONDS = 0.1
MAX_PAUSE_SECONDS = 2.0
PAUSE_SHARE = 0.25
"""The pause before the next look at a job, as a share of the time since it last changed."""

BATCH_SIZE = 100
"""Rows that DynamoDB reads in one request."""


class FollowedJob:
    """A job that is looked at again and again, as it was last seen."""

    def __init__(self, job: Job, now: float) -> None:
        self.job = job
        self.followers = 0
        self.next_look = now + MIN_PAUSE_SECONDS
        self._changed_at = now
        self._changed = asyncio.Event()

    @property
    def key(self) -> JobKey:
        """The key of its row."""
        return JobKey(self.job.tenant, self.job.id)

    def saw(self, job: Job | None, now: float) -> None:
        """Take note of a look, which found `job`, or nothing that could be read."""
        if job is not None and (job.created_at, job.version) > (self.job.created_at, self.job.version):
            news = _visible(job) != _visible(self.job)
            self.job = job
            if news:
                self._changed_at = now
                self.wake()
        pause = min(max((now - self._changed_at) * PAUSE_SHARE, MIN_PAUSE_SECONDS), MAX_PAUSE_SECONDS)
        self.next_look = now + pause

    def wake(self) -> None:
        """Let all who wait for a change look at `job`."""
        self._changed.set()
        self._changed = asyncio.Event()

    async def next(self, seen: Job, seconds: float) -> Job | None:
        """Return the job as soon as it has changed since it was `seen`; None if it has not after so many seconds.

        None also when the feed is closed.
        """
        if _visible(self.job) == _visible(seen):
            with suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await self._changed.wait()
        return None if _visible(self.job) == _visible(seen) else self.job


def _visible(job: Job) -> tuple[object, ...]:
    """What followers want to know of: not that a worker renewed its lease."""
    return job.created_at, job.status, job.history_from + len(job.history), job.progress


class JobFeed:
    """The jobs that requests of this process follow."""

    def __init__(self) -> None:
        self._followed: dict[JobKey, FollowedJob] = {}
        self._task: asyncio.Task[None] | None = None
        self.closed = False

    @contextmanager
    def follow(self, transport: AsyncTransport, table: str, job: Job) -> Iterator[FollowedJob]:
        """Look at the job's row until the block ends. See `add`."""
        followed = self.add(transport, table, job)
        try:
            yield followed
        finally:
            self.remove(followed)

    def add(self, transport: AsyncTransport, table: str, job: Job) -> FollowedJob:
        """Look at the job's row until `remove` is called as often as this. `job` is the row as the caller has read it.

        `transport` and `table` are the same for all who follow a job.
        """
        now = asyncio.get_running_loop().time()
        followed = self._followed.setdefault(JobKey(job.tenant, job.id), FollowedJob(job, now))
        followed.saw(job, now)
        followed.followers += 1
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._look_around(transport, table))
        return followed

    def remove(self, followed: FollowedJob) -> None:
        """Undo one `add`."""
        followed.followers -= 1
        if not followed.followers:
            del self._followed[followed.key]

    def close(self) -> None:
        """Wake everyone who waits: the process is about to end, and with it whatever follows a job."""
        self.closed = True
        for followed in self._followed.values():
            followed.wake()

    async def _look_around(self, transport: AsyncTransport, table: str) -> None:
        """Look at the followed jobs until there are none."""
        clock = asyncio.get_running_loop().time
        while self._followed:
            due = [followed for followed in self._followed.values() if followed.next_look <= clock()]
            await asyncio.gather(
                *(_look(transport, table, due[start : start + BATCH_SIZE]) for start in range(0, len(due), BATCH_SIZE))
            )
            await asyncio.sleep(TICK_SECONDS)


async def _look(transport: AsyncTransport, table: str, due: Sequence[FollowedJob]) -> None:
    found: dict[JobKey, Job] = {}
    try:
        batch = await transport.send(job_items.get_jobs(table, [followed.key for followed in due]))
        found = {JobKey(job.tenant, job.id): job for job in batch.jobs}
    except AwsError as error:
        log.warning("could not look at %s followed jobs: %s", len(due), error)
    except Exception:
        # whoever follows these jobs waits on; the other jobs are looked at all the same
        log.exception("could not look at %s followed jobs", len(due))
    now = asyncio.get_running_loop().time()
    for followed in due:
        followed.saw(found.get(followed.key), now)
