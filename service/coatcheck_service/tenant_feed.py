"""Learns of the events of all jobs of a tenant: one look at the tenant's index a second, for all who follow the tenant.

The index tells of new jobs. Those that are not done are looked at by `JobFeed`.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from coatcheck.aws_transport.protocols import AsyncTransport
from coatcheck.core.api.views import NumberedEvent
from coatcheck.core.aws.call import AwsError
from coatcheck.core.aws.dynamodb import job_items
from coatcheck.core.aws.dynamodb.job_items import JobListEntry
from coatcheck.core.aws.dynamodb.keys import JobKey
from coatcheck.core.clock import SECOND
from coatcheck.core.job import Job
from coatcheck_service.job_feed import BATCH_SIZE, FollowedJob, JobFeed
from coatcheck_service.job_history import events_after, last_event

log = logging.getLogger(__name__)

MAX_JOBS = 500
"""Jobs of a tenant that are followed: the newest. A look back looks at as many."""

MAX_KEPT_EVENTS = 5000
"""Events that are kept for those who are slow to read them."""

INDEX_SECONDS = 1.0
TICK_SECONDS = 0.2

OVERLAP_MS = 10 * SECOND
"""Milliseconds by which a look goes back behind what is known: the index and clocks may be late by that."""


@dataclass(frozen=True, slots=True)
class TenantEvent:
    """An event of some job."""

    job: Job
    numbered: NumberedEvent

    @property
    def key(self) -> tuple[str, int, int]:
        """What tells it from all other events of the tenant."""
        return self.job.id, self.job.created_at, self.numbered.number


@dataclass(slots=True)
class _Tracked:
    followed: FollowedJob
    known: int
    """The number of its last event that has been taken."""


class TenantFeed:
    """The events of a tenant since this feed began. `end` counts them, also those that are no longer kept."""

    def __init__(self, job_feed: JobFeed, transport: AsyncTransport, table: str, tenant: str) -> None:
        self._job_feed = job_feed
        self._transport = transport
        self._table = table
        self._tenant = tenant
        self._tracked: dict[JobKey, _Tracked] = {}
        self._recent: dict[JobKey, int] = {}
        self._newest = 0
        self._next_index_look = 0.0
        self._kept: deque[TenantEvent] = deque(maxlen=MAX_KEPT_EVENTS)
        self._news = asyncio.Event()
        self.ready = asyncio.Event()
        self.followers = 0
        self.end = 0

    async def next(self, position: int, seconds: float) -> Sequence[TenantEvent] | None:
        """Return the events from `position` on, once there are some; none after so many seconds.

        None if some of them are no longer kept.
        """
        if self.end <= position:
            with suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await self._news.wait()
        first = self.end - len(self._kept)
        return None if position < first else list(self._kept)[position - first :]

    async def run(self) -> None:
        """Take what happens until this is cancelled."""
        try:
            while True:
                try:
                    await self._take()
                except AwsError as error:
                    log.warning("could not look at the jobs of a tenant: %s", error)
                except Exception:
                    # whoever follows the tenant waits on
                    log.exception("could not look at the jobs of a tenant")
                await asyncio.sleep(TICK_SECONDS)
        finally:
            for tracked in self._tracked.values():
                self._job_feed.remove(tracked.followed)

    def wake(self) -> None:
        """Let all who wait look at `end`."""
        self._news.set()
        self._news = asyncio.Event()

    async def _start(self) -> None:
        """Find the jobs that are to be followed. What has happened to them is known."""
        for job in reversed(await _newest_jobs(self._transport, self._table, self._tenant, MAX_JOBS)):
            self._seen(job)
            if not job.done:
                self._track(job, known=last_event(job))

    async def _take(self) -> None:
        now = asyncio.get_running_loop().time()
        if not self.ready.is_set():
            await self._start()
            self.ready.set()
        elif now >= self._next_index_look:
            await self._take_new_jobs()
            self._next_index_look = now + INDEX_SECONDS
        await self._take_events()

    async def _take_new_jobs(self) -> None:
        page = await self._transport.send(
            job_items.list_jobs(self._table, self._tenant, limit=2 * MAX_JOBS, created_from=self._newest - OVERLAP_MS)
        )
        new = [entry for entry in page.entries if entry.key not in self._recent]
        for job in reversed(await _rows(self._transport, self._table, new)):
            self._seen(job)
            self._track(job, known=0)
        self._recent = {key: at for key, at in self._recent.items() if at >= self._newest - OVERLAP_MS}

    async def _take_events(self) -> None:
        before = self.end
        try:
            for key, tracked in list(self._tracked.items()):
                job = tracked.followed.job
                async for numbered in events_after(self._transport, self._table, job, tracked.known):
                    self._kept.append(TenantEvent(job, numbered))
                    self.end += 1
                    tracked.known = numbered.number
                if job.done:
                    self._untrack(key)
        finally:
            if self.end > before:
                self.wake()

    def _seen(self, job: Job) -> None:
        self._recent[JobKey(job.tenant, job.id)] = job.created_at
        self._newest = max(self._newest, job.created_at)

    def _track(self, job: Job, known: int) -> None:
        key = JobKey(job.tenant, job.id)
        if key in self._tracked:
            self._untrack(key)
        self._tracked[key] = _Tracked(self._job_feed.add(self._transport, self._table, job), known)
        if len(self._tracked) > MAX_JOBS:
            self._untrack(next(iter(self._tracked)))

    def _untrack(self, key: JobKey) -> None:
        self._job_feed.remove(self._tracked.pop(key).followed)


class TenantFeeds:
    """The tenants that requests of this process follow."""

    def __init__(self) -> None:
        self._feeds: dict[str, tuple[TenantFeed, asyncio.Task[None]]] = {}
        self.closed = False

    @contextmanager
    def follow(self, job_feed: JobFeed, transport: AsyncTransport, table: str, tenant: str) -> Iterator[TenantFeed]:
        """Follow the tenant until the block ends. All who follow a tenant give the same arguments."""
        if tenant not in self._feeds:
            made = TenantFeed(job_feed, transport, table, tenant)
            self._feeds[tenant] = made, asyncio.create_task(made.run())
        feed, task = self._feeds[tenant]
        feed.followers += 1
        try:
            yield feed
        finally:
            feed.followers -= 1
            if not feed.followers:
                del self._feeds[tenant]
                task.cancel()

    def close(self) -> None:
        """Wake everyone who waits: the process is about to end."""
        self.closed = True
        for feed, _ in self._feeds.values():
            feed.ready.set()
            feed.wake()


async def past_events(
    transport: AsyncTransport, table: str, tenant: str, *, since: int, jobs: int = MAX_JOBS
) -> list[TenantEvent]:
    """Return the events after this time of the tenant's newest jobs, the oldest event first. Raises AwsError."""
    found = [
        TenantEvent(job, numbered)
        for job in await _newest_jobs(transport, table, tenant, jobs)
        if job.updated_at > since
        async for numbered in events_after(transport, table, job, _known_at(job, since))
        if numbered.event.at > since
    ]
    return sorted(found, key=lambda one: (one.numbered.event.at, one.key))


async def _newest_jobs(transport: AsyncTransport, table: str, tenant: str, number: int) -> list[Job]:
    """Return the newest jobs of the tenant, the newest first."""
    page = await transport.send(job_items.list_jobs(table, tenant, limit=number))
    return await _rows(transport, table, page.entries)


async def _rows(transport: AsyncTransport, table: str, entries: Sequence[JobListEntry]) -> list[Job]:
    """Return the jobs of these entries, in their order; a row that cannot be read now is left out."""
    found: dict[JobKey, Job] = {}
    keys = [entry.key for entry in entries]
    for start in range(0, len(keys), BATCH_SIZE):
        batch = await transport.send(job_items.get_jobs(table, keys[start : start + BATCH_SIZE]))
        found.update({JobKey(job.tenant, job.id): job for job in batch.jobs})
    return [found[key] for key in keys if key in found]


def _known_at(job: Job, since: int) -> int:
    """Return the number of the last event in the row that is not after this time; 0 if the row has none."""
    return next(
        (place for place, event in reversed(list(enumerate(job.history, job.history_from))) if event.at <= since), 0
    )
