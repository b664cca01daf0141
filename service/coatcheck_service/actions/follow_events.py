"""Follows a job: sends its history as server-sent events, and what happens to it as it happens.

The id of an event is its number in the job's history, as `list_events` gives it. It follows from the row alone, so a
client resumes at whichever process it reaches. Progress is a state and not a part of the history: it is sent without an
id, and only as it is now.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncGenerator
from functools import partial

from fastapi import Request, Response
from fastapi.sse import KEEPALIVE_COMMENT

from coatcheck.core.api.views import event_view, progress_view
from coatcheck.core.aws.call import AwsError
from coatcheck.core.errors import FieldError
from coatcheck.core.job import Job, Progress
from coatcheck_service.actions.event_streams import event_stream_response
from coatcheck_service.http.authentication import RequestContext
from coatcheck_service.http.event_stream import (
    HEARTBEAT_SECONDS,
    encode_event,
    encode_retry,
)
from coatcheck_service.http.field_errors import invalid_request
from coatcheck_service.job_history import events_after, last_event

_EVENT_ID = re.compile(r"evt_(\d{6,9})", re.ASCII)


def follow_events(context: RequestContext, request: Request, job: Job) -> Response:
    """Return the stream of the job's events after `Last-Event-ID`; 204 when the job is done and has no more of them.

    204 is what makes a browser connect no more. Raises InvalidRequest for an id that no event of the job has.
    """
    sent = _resume_after(request, job)
    if job.done and sent == last_event(job):
        return Response(status_code=204)
    return event_stream_response(context, request, partial(_stream, context, job, sent))


def _resume_after(request: Request, job: Job) -> int:
    """Return the number of the last event that the client has, 0 for none."""
    given = ",".join(request.headers.getlist("last-event-id"))
    if not given:
        return 0
    match = _EVENT_ID.fullmatch(given)
    if match is None or not 0 < int(match[1]) <= last_event(job):
        wrong = FieldError("/Last-Event-ID", "must be the `id` of an event of this job: leave it out to begin again")
        raise invalid_request([wrong])
    return int(match[1])


async def _stream(context: RequestContext, job: Job, sent: int, seconds: float) -> AsyncGenerator[bytes]:
    """Yield what happens to the job after event number `sent`: until it is done, or so many seconds have passed."""
    dependencies, clock = context.dependencies, asyncio.get_running_loop().time
    feed = dependencies.job_feed
    deadline = clock() + seconds
    progress: Progress | None = None

    async def goes_on() -> bool:
        return not feed.closed and clock() < deadline and await context.is_still_allowed()

    yield encode_retry()
    with feed.follow(dependencies.transport, dependencies.table, job) as followed:
        while True:
            try:
                async for numbered in events_after(dependencies.transport, dependencies.table, job, sent):
                    event = event_view(numbered, job.id, context.base_url)
                    yield encode_event(event, event_id=event.id)
            except AwsError:
                return
            if job.done:
                return
            sent = last_event(job)
            if job.progress is not None and job.progress != progress:
                yield encode_event(progress_view(job.progress), event="progress")
            progress = job.progress
            latest: Job | None = None
            while latest is None and await goes_on():
                latest = await followed.next(job, min(HEARTBEAT_SECONDS, deadline - clock()))
                if latest is None and await goes_on():
                    yield KEEPALIVE_COMMENT
            if latest is None or latest.created_at != job.created_at or not await goes_on():
                return
            job = latest
