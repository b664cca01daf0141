"""Lists of jobs: an index of keys, the rows behind them, and the cursor between pages."""

from __future__ import annotations

import asyncio
import base64
import binascii
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from coatcheck.errors import Flaw, Unavailable
from coatcheck.lifecycle import Status
from coatcheck.record import Job
from coatcheck.table import items
from coatcheck.table.items import Listed
from coatcheck.table.keys import JobKey
from coatcheck.wire import JobView, Listing
from coatcheck.wire_base import Moment
from service.caller import Caller
from service.flaws import refused
from service.jobs import view_of
from service.pages import Room

MOST_PAGES = 5
"""Pages of the index that one request reads. A filter that matches little gives a short page with a cursor."""

PAGE = 100
"""Rows that DynamoDB reads in one batch."""

ROUNDS = 6
"""How often the rows of a page are asked for that DynamoDB leaves out."""

FIRST_PAUSE = 0.025
"""Seconds, the half of the longest pause before they are asked for again; it doubles each time: 1.6 s in all."""

AT_ONCE = 10
"""Jobs whose artifacts are read at the same time."""


class JobQuery(BaseModel):
    """Which jobs to list."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    status: Status | None = Field(default=None, description="only jobs with this status")
    type: str | None = Field(default=None, max_length=64, description="only jobs of this type")
    created_after: Moment | None = Field(default=None, description="only jobs made later than this")
    created_before: Moment | None = Field(default=None, description="only jobs made earlier than this")
    limit: int = Field(default=25, ge=1, le=100, description="jobs on a page, at most")
    after: str | None = Field(default=None, max_length=200, description="`next` of the page before")

    def matches(self, job: Job) -> bool:
        """Whether the filters that the index knows nothing of let the job through."""
        return self.status in {None, job.status} and self.type in {None, job.type}

    @property
    def within(self) -> tuple[int, int]:
        """The first and the last millisecond in question."""
        first = 0 if self.created_after is None else self.created_after + 1
        return first, 10**13 - 1 if self.created_before is None else self.created_before - 1


class Cursor(BaseModel):
    """The last entry of a page."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    id: str = Field(pattern=r"^job_[A-Za-z0-9_-]{1,60}$")
    at: int = Field(ge=0, lt=10**13)

    def text(self) -> str:
        """Opaque to clients."""
        return base64.urlsafe_b64encode(self.model_dump_json().encode()).decode().rstrip("=")

    @classmethod
    def parse(cls, text: str, within: tuple[int, int]) -> Cursor:
        """The cursor in `text`. Raises InvalidRequest for what is none, or belongs to other filters."""
        try:
            padded = text.encode("ascii") + b"=" * (-len(text) % 4)
            cursor = cls.model_validate_json(base64.b64decode(padded, altchars=b"-_", validate=True))
        except (ValidationError, binascii.Error, UnicodeEncodeError):
            raise refused([Flaw("/after", "is not the `next` of a list of jobs")]) from None
        if not within[0] <= cursor.at <= within[1]:
            raise refused([Flaw("/after", "is of a list with other filters")])
        return cursor


async def list_jobs(caller: Caller, query: JobQuery) -> Listing[JobView]:
    """One page of the caller's jobs, newest first. Raises InvalidRequest for a cursor that is none."""
    found: list[Job] = []
    reached: str | None = None
    async with aclosing(_rows(caller, query)) as rows:
        async for entry, job, more in rows:
            reached = Cursor(id=entry.key.id, at=entry.created_at).text() if more else None
            if job is not None and query.matches(job):
                found.append(job)
            if len(found) == query.limit:
                break
    views = await _views(caller, found)
    if len(views) < len(found):
        reached = _cursor(found[len(views) - 1])
    return Listing(data=views, next=reached)


async def _views(caller: Caller, jobs: Sequence[Job]) -> list[JobView]:
    """As many of the jobs, from the first on, as one answer carries: each may have a thousand artifacts."""
    room, views = Room(caller.tools.front_door), list[JobView]()
    for start in range(0, len(jobs), AT_ONCE):
        for view in await asyncio.gather(*(view_of(caller, job) for job in jobs[start : start + AT_ONCE])):
            if not room.takes(view):
                return views
            views.append(view)
    return views


def _cursor(job: Job) -> str:
    return Cursor(id=job.id, at=job.created_at).text()


async def _rows(caller: Caller, query: JobQuery) -> AsyncGenerator[tuple[Listed, Job | None, bool], None]:
    """Each entry of the index, the row behind it unless that is gone, and whether more entries follow."""
    tools, now = caller.tools, caller.tools.clock()
    first, last = query.within
    after = None
    if query.after is not None:
        cursor = Cursor.parse(query.after, query.within)
        after = Listed(JobKey(caller.tenant, cursor.id), cursor.at)
    filtered = query.status is not None or query.type is not None
    for _ in range(MOST_PAGES if first <= last else 0):
        limit = PAGE if filtered else query.limit
        page = await tools.aws.send(
            items.list_jobs(
                tools.table, caller.tenant, limit=limit, after=after, created_from=first, created_until=last
            )
        )
        jobs = await _jobs(caller, page.entries)
        for number, entry in enumerate(page.entries, start=1):
            job = jobs.get(entry.key.id)
            yield entry, None if job is None or job.gone(now) else job, page.more or number < len(page.entries)
        if not page.more or not page.entries:
            return
        after = page.entries[-1]


async def _jobs(caller: Caller, entries: Sequence[Listed]) -> dict[str, Job]:
    """The rows behind the entries, by their ids. Raises Unavailable when DynamoDB does not give them all.

    What it leaves out it is throttled for, so it is asked again ever later, with full jitter:
    https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_BatchGetItem.html
    """
    tools, found = caller.tools, dict[str, Job]()
    unread: Sequence[JobKey] = [entry.key for entry in entries]
    for again in range(ROUNDS):
        if unread and again:
            await asyncio.sleep(FIRST_PAUSE * 2**again * tools.entropy(1)[0] / 256)
        if unread:
            batch = await tools.aws.send(items.get_jobs(tools.table, unread))
            found.update({job.id: job for job in batch.jobs})
            unread = batch.unread
    if unread:
        raise Unavailable("The jobs cannot all be read at the moment.")
    return found
