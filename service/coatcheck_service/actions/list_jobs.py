"""Lists jobs: reads an index of keys, then the rows of those keys, and makes the cursor between pages."""

from __future__ import annotations

import asyncio
import base64
import binascii
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from coatcheck.core.api.base_models import Moment
from coatcheck.core.api.models import JobView, Listing
from coatcheck.core.aws.dynamodb import job_items
from coatcheck.core.aws.dynamodb.job_items import JobListEntry
from coatcheck.core.aws.dynamodb.keys import JobKey
from coatcheck.core.errors import FieldError, Unavailable
from coatcheck.core.ids import id_pattern
from coatcheck.core.job import Job
from coatcheck.core.lifecycle import Status
from coatcheck_service.actions.job_lookup import load_job_view
from coatcheck_service.http.authentication import RequestContext
from coatcheck_service.http.field_errors import invalid_request
from coatcheck_service.http.page_size import PageBudget

MAX_INDEX_PAGES = 5
"""Pages of the index that one request reads. A filter that matches few jobs gives a short page with a cursor."""

BATCH_SIZE = 100
"""Rows that DynamoDB reads in one batch."""

MAX_BATCH_TRIES = 6
"""How many times the rows of a page are requested while DynamoDB leaves some unprocessed."""

HALF_BACKOFF_SECONDS = 0.025
"""Seconds: half of the longest pause before the first retry. The pause doubles each time, to 1.6 s in all."""

MAX_CONCURRENT_READS = 10
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
        """Whether the job passes the filters that the index cannot apply."""
        return self.status in {None, job.status} and self.type in {None, job.type}

    @property
    def time_range(self) -> tuple[int, int]:
        """The first and the last millisecond of the requested range."""
        first = 0 if self.created_after is None else self.created_after + 1
        return first, 10**13 - 1 if self.created_before is None else self.created_before - 1


class Cursor(BaseModel):
    """The last entry of a page."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    id: str = Field(pattern=id_pattern("job"))
    at: int = Field(ge=0, lt=10**13)

    def text(self) -> str:
        """Opaque to clients."""
        return base64.urlsafe_b64encode(self.model_dump_json().encode()).decode().rstrip("=")

    @classmethod
    def parse(cls, text: str, time_range: tuple[int, int]) -> Cursor:
        """Parse `text`. Raises InvalidRequest when it is not a cursor, or belongs to other filters."""
        try:
            padded = text.encode("ascii") + b"=" * (-len(text) % 4)
            cursor = cls.model_validate_json(base64.b64decode(padded, altchars=b"-_", validate=True))
        except (ValidationError, binascii.Error, UnicodeEncodeError):
            raise invalid_request([FieldError("/after", "must be the `next` of a list of jobs")]) from None
        if not time_range[0] <= cursor.at <= time_range[1]:
            raise invalid_request(
                [FieldError("/after", "belongs to a list with other filters: leave it out to begin again")]
            )
        return cursor


async def list_jobs(context: RequestContext, query: JobQuery) -> Listing[JobView]:
    """Return one page of the caller's jobs, newest first. Raises InvalidRequest for an invalid cursor."""
    found: list[Job] = []
    next_cursor: str | None = None
    async with aclosing(_index_entries(context, query)) as rows:
        async for entry, job, more in rows:
            next_cursor = Cursor(id=entry.key.id, at=entry.created_at).text() if more else None
            if job is not None and query.matches(job):
                found.append(job)
            if len(found) == query.limit:
                break
    views = await _views(context, found)
    if len(views) < len(found):
        next_cursor = _cursor(found[len(views) - 1])
    return Listing(data=views, next=next_cursor)


async def _views(context: RequestContext, jobs: Sequence[Job]) -> list[JobView]:
    """Return the first of the jobs, as many as fit in one response: each may have a thousand artifacts."""
    budget, views = PageBudget(context.front_door), list[JobView]()
    for start in range(0, len(jobs), MAX_CONCURRENT_READS):
        for view in await asyncio.gather(
            *(load_job_view(context, job) for job in jobs[start : start + MAX_CONCURRENT_READS])
        ):
            if not budget.fits(view):
                return views
            views.append(view)
    return views


def _cursor(job: Job) -> str:
    return Cursor(id=job.id, at=job.created_at).text()


async def _index_entries(
    context: RequestContext, query: JobQuery
) -> AsyncGenerator[tuple[JobListEntry, Job | None, bool], None]:
    """Yield each entry of the index, its row unless that is gone, and whether more entries follow."""
    dependencies, now = context.dependencies, context.dependencies.clock()
    first, last = query.time_range
    after = None
    if query.after is not None:
        cursor = Cursor.parse(query.after, query.time_range)
        after = JobListEntry(JobKey(context.tenant, cursor.id), cursor.at)
    filtered = query.status is not None or query.type is not None
    for _ in range(MAX_INDEX_PAGES if first <= last else 0):
        limit = BATCH_SIZE if filtered else query.limit
        page = await dependencies.transport.send(
            job_items.list_jobs(
                dependencies.table, context.tenant, limit=limit, after=after, created_from=first, created_until=last
            )
        )
        jobs = await read_rows(context, page.entries)
        for number, entry in enumerate(page.entries, start=1):
            job = jobs.get(entry.key.id)
            yield entry, None if job is None or job.gone(now) else job, page.more or number < len(page.entries)
        if not page.more or not page.entries:
            return
        after = page.entries[-1]


async def read_rows(context: RequestContext, entries: Sequence[JobListEntry]) -> dict[str, Job]:
    """Return the rows of a tenant's entries, by their ids. Raises Unavailable when DynamoDB does not return them all.

    DynamoDB leaves rows out when it throttles. They are requested again after exponential backoff with full jitter:
    https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_BatchGetItem.html
    """
    dependencies, found = context.dependencies, dict[str, Job]()
    unprocessed: Sequence[JobKey] = [entry.key for entry in entries]
    for retry in range(MAX_BATCH_TRIES):
        if unprocessed and retry:
            await asyncio.sleep(HALF_BACKOFF_SECONDS * 2**retry * dependencies.entropy(1)[0] / 256)
        if unprocessed:
            batch = await dependencies.transport.send(job_items.get_jobs(dependencies.table, unprocessed))
            found.update({job.id: job for job in batch.jobs})
            unprocessed = batch.unprocessed
    if unprocessed:
        raise Unavailable("Some jobs of the list could not be read in time: try again.")
    return found
