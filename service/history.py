"""A job's history: what left its row, page by page, and then what the row tells."""

from __future__ import annotations

import re

from pydantic import BaseModel, ConfigDict, Field

from coatcheck.errors import Flaw
from coatcheck.record import Job
from coatcheck.table.history import earlier_events
from coatcheck.views import event_views
from coatcheck.wire import EventView, Listing
from service.caller import Caller
from service.flaws import refused

_CURSOR = re.compile(r"evt_(\d{6,9})-(\d{1,9})", re.ASCII)


class EventQuery(BaseModel):
    """Which events to list."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    after: str | None = Field(default=None, max_length=200, description="`next` of the page before")


async def list_events(caller: Caller, job: Job, query: EventQuery) -> Listing[EventView]:
    """A page of the job's history, the first event first. Raises InvalidRequest for a cursor that is none."""
    told, attempts = _cursor(query.after, job)
    earlier: list[EventView] = []
    if told + 1 < job.history_from:
        events = await caller.tools.aws.send(earlier_events(caller.tools.table, job, since=told + 1))
        earlier = event_views(events, job.id, caller.base_url, told=told, attempts=attempts)
    if earlier:
        told, attempts = told + len(earlier), earlier[-1].attempt
        if told + 1 < job.history_from:
            return Listing(data=earlier, next=f"{earlier[-1].id}-{attempts}")
    last = event_views(job.history, job.id, caller.base_url, told=job.history_from - 1, attempts=attempts)
    return Listing(data=[*earlier, *last], next=None)


def _cursor(after: str | None, job: Job) -> tuple[int, int]:
    """How many events were told, and how many attempts had been started by then."""
    if after is None:
        return 0, 0
    match = _CURSOR.fullmatch(after)
    if match is None or int(match[1]) >= job.history_from:
        raise refused([Flaw("/after", "is not the `next` of this job's events")])
    return int(match[1]), int(match[2])
