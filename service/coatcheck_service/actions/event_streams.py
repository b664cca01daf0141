"""What all streams of events have in common: how long they last, how many there may be, and how they answer HEAD."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable

from fastapi import Request, Response

from coatcheck_service.http.authentication import RequestContext
from coatcheck_service.http.event_stream import MEDIA_TYPE, EventStreamResponse

CUT_OFF_SECONDS = 15.0
"""Seconds that a slow reader has after the end of an answer to take the rest of it."""


def event_stream_response(
    context: RequestContext, request: Request, stream: Callable[[float], AsyncGenerator[bytes]]
) -> Response:
    """Return the response that sends `stream`, which gets the seconds after which it has to end."""
    if request.state.head:
        return Response(media_type=MEDIA_TYPE)
    dependencies = context.dependencies
    longest = dependencies.settings.longest_stream
    # answers that began together, after a restart, do not end together: up to a tenth is left out by chance
    seconds = longest * (1 - dependencies.entropy(1)[0] / 2560)
    slot = dependencies.stream_slots.acquire(context.tenant, limit=dependencies.settings.max_streams)
    return EventStreamResponse(stream(seconds), slot, longest + CUT_OFF_SECONDS)
