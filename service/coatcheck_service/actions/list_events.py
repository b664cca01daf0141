"""Lists a job's history: first the events that were moved out of its row, page by page, then those in the row."""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator

from pydantic import BaseModel, ConfigDict, Field

from coatcheck.core.api.models import EventView, Listing
from coatcheck.core.api.views import attempts_before_row, event_views
from coatcheck.core.aws.dynamodb.history import earlier_events
from coatcheck.core.errors import FieldError
from coatcheck.core.job import Job
from coatcheck_service.http.authentication import RequestContext
from coatcheck_service.http.field_errors import invalid_request

_CURSOR = re.compile(r"evt_(\d{6,9})-(\d{1,9})", re.ASCII)


class EventQuery(BaseModel):
    """Which events to list."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    after: str | None = Field(default=None, max_length=200, description="`next` of the page before")


async def list_events(context: RequestContext, job: Job, query: EventQuery) -> Listing[EventView]:
    """Return a page of the job's history, the oldest event first. Raises InvalidRequest for an invalid cursor."""
    offset, attempts = _cursor(query.after, job)
    earlier: list[EventView] = []
    if offset + 1 < job.history_from:
        events = await context.dependencies.transport.send(
            earlier_events(context.dependencies.table, job, since=offset + 1)
        )
        earlier = event_views(events, job.id, context.base_url, offset=offset, attempts=attempts)
    if earlier:
        offset, attempts = offset + len(earlier), earlier[-1].attempt
        if offset + 1 < job.history_from:
            return Listing(data=earlier, next=f"{earlier[-1].id}-{attempts}")
    recent = event_views(job.history, job.id, context.base_url, offset=job.history_from - 1, attempts=attempts)
    return Listing(data=[*earlier, *recent], next=None)


async def events_after(context: RequestContext, job: Job, number: int) -> AsyncGenerator[EventView]:
    """Yield the job's events after the one with this number (0: all of them), the oldest first."""
    if number + 1 >= job.history_from:
        attempts, offset = attempts_before_row(job), job.history_from - 1
        for event in event_views(job.history, job.id, context.base_url, offset=offset, attempts=attempts)[
            number - offset :
        ]:
            yield event
        return
    # what left the row is read from the start, as only the pages' first numbers are keys; few jobs have such a history
    seen, after = 0, None
    while True:
        page = await list_events(context, job, EventQuery(after=after))
        for event in page.data:
            seen += 1
            if seen > number:
                yield event
        if page.next is None:
            return
        after = page.next


def last_event(job: Job) -> int:
    """Return the number of the job's last event."""
    return job.history_from + len(job.history) - 1


def _cursor(after: str | None, job: Job) -> tuple[int, int]:
    """Return how many events earlier pages had, and how many attempts had been started by then."""
    if after is None:
        return 0, 0
    match = _CURSOR.fullmatch(after)
    if match is None or int(match[1]) >= job.history_from:
        raise invalid_request([FieldError("/after", "must be the `next` of this job's events")])
    return int(match[1]), int(match[2])
