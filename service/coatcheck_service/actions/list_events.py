"""Lists a job's history: first the events that were moved out of its row, page by page, then those in the row."""

from __future__ import annotations

import re

from pydantic import BaseModel, ConfigDict, Field

from coatcheck.core.api.models import EventView, Listing
from coatcheck.core.api.views import event_views
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


def _cursor(after: str | None, job: Job) -> tuple[int, int]:
    """Return how many events earlier pages had, and how many attempts had been started by then."""
    if after is None:
        return 0, 0
    match = _CURSOR.fullmatch(after)
    if match is None or int(match[1]) >= job.history_from:
        raise invalid_request([FieldError("/after", "must be the `next` of this job's events")])
    return int(match[1]), int(match[2])
