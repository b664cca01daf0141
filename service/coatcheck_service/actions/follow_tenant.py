"""Follows all jobs of a tenant: a stream of their events, for consoles and watchers.

The id of an event is the latest time of any event that was sent up to it. Whoever resumes after it gets again what
happened in the seconds before, since what happens at the same time is not seen at the same time: an event may come
twice after a reconnect, and is told by its job and its own id.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncGenerator, Sequence
from functools import partial

from fastapi import Request, Response
from fastapi.sse import KEEPALIVE_COMMENT

from coatcheck.core.api.models import Listing, StreamPosition, TenantEventView
from coatcheck.core.api.views import event_view
from coatcheck.core.aws.call import AwsError
from coatcheck.core.clock import rfc3339
from coatcheck.core.errors import FieldError
from coatcheck_service.actions.event_streams import event_stream_response
from coatcheck_service.http.authentication import RequestContext
from coatcheck_service.http.event_stream import HEARTBEAT_SECONDS, encode_event, encode_retry
from coatcheck_service.http.field_errors import invalid_request
from coatcheck_service.tenant_feed import MAX_JOBS, OVERLAP_MS, TenantEvent, past_events

LISTED_JOBS = 100
"""Jobs whose events a list has: the newest."""

_EVENT_ID = re.compile(r"evt_(\d{13})", re.ASCII)


def follow_tenant(context: RequestContext, request: Request) -> Response:
    """Return the stream of the events of the tenant's jobs, from now on or after `Last-Event-ID`.

    Raises InvalidRequest for an id that is none of this stream.
    """
    given = ",".join(request.headers.getlist("last-event-id"))
    since = _time(given, "/Last-Event-ID") if given else None
    return event_stream_response(context, request, partial(_stream, context, since))


async def list_tenant_events(context: RequestContext, after: str | None) -> Listing[TenantEventView]:
    """Return the events of the tenant's newest jobs, those after a cursor if one is given, the oldest first.

    Raises InvalidRequest for an invalid cursor.
    """
    since = 0 if after is None else _time(after, "/after")
    events = await _past(context, since, LISTED_JOBS)
    return Listing(data=[_view(context, event, event.numbered.event.at) for event in events], next=None)


async def _stream(context: RequestContext, since: int | None, seconds: float) -> AsyncGenerator[bytes]:
    """Yield what happens to the tenant's jobs from now on, and before that what has happened since then, if given."""
    dependencies, feeds = context.dependencies, context.dependencies.tenant_feeds
    clock = asyncio.get_running_loop().time
    deadline = clock() + seconds
    yield encode_retry()
    with feeds.follow(dependencies.job_feed, dependencies.transport, dependencies.table, context.tenant) as feed:
        try:
            async with asyncio.timeout_at(deadline):
                await feed.ready.wait()
            position, latest = feed.end, dependencies.clock() if since is None else since
            past = [] if since is None else await _past(context, since, MAX_JOBS)
        except (TimeoutError, AwsError):
            return
        # a client that has got no event yet has to know where to go on
        yield encode_event(StreamPosition(at=rfc3339(latest)), event="connected", event_id=_event_id(latest))
        known = {event.key for event in past}
        news: Sequence[TenantEvent] | None = past
        while news is not None:
            for event in news:
                latest = max(latest, event.numbered.event.at)
                yield encode_event(_view(context, event, latest), event_id=_event_id(latest))
            if feeds.closed or clock() >= deadline:
                return
            arrived = await feed.next(position, min(HEARTBEAT_SECONDS, deadline - clock()))
            if not await context.is_still_allowed():
                return
            if arrived == []:
                yield KEEPALIVE_COMMENT
            position += len(arrived or ())
            news = None if arrived is None else [event for event in arrived if event.key not in known]


async def _past(context: RequestContext, since: int, jobs: int) -> list[TenantEvent]:
    dependencies = context.dependencies
    return await past_events(
        dependencies.transport, dependencies.table, context.tenant, since=since - OVERLAP_MS, jobs=jobs
    )


def _view(context: RequestContext, event: TenantEvent, latest: int) -> TenantEventView:
    view = event_view(event.numbered, event.job.id, context.base_url)
    return TenantEventView(**dict(view), job=event.job.id, job_type=event.job.type, cursor=_event_id(latest))


def _event_id(at: int) -> str:
    return f"evt_{at:013d}"


def _time(given: str, pointer: str) -> int:
    match = _EVENT_ID.fullmatch(given)
    if match is None:
        raise invalid_request([FieldError(pointer, "must be the `cursor` of an event: leave it out to begin anew")])
    return int(match[1])
