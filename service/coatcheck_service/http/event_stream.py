"""Server-sent events: whether a request wants them, how one looks, and the response that sends them.

https://html.spec.whatwg.org/multipage/server-sent-events.html
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import AbstractContextManager, aclosing
from typing import Any

from fastapi import Request
from fastapi.sse import EventSourceResponse, format_sse_event
from pydantic import BaseModel
from starlette.requests import ClientDisconnect
from starlette.types import Receive, Scope, Send

from coatcheck.core.errors import TooManyStreams
from coatcheck_service.front_door import FrontDoor
from coatcheck_service.http.openapi import response_doc

MEDIA_TYPE = "text/event-stream"

RETRY_MS = 1000
"""Milliseconds after which a client should connect again when an answer has ended."""

HEARTBEAT_SECONDS = 15.0
"""Seconds of silence after which a comment is sent, so that no proxy takes the connection for dead."""

RETRY_AFTER_SECONDS = 5
"""Seconds after which a client that was refused should try again: some stream ends every few seconds."""

_NO_BUFFERING = {"X-Accel-Buffering": "no"}
"""nginx would keep events back: https://nginx.org/en/docs/http/ngx_http_proxy_module.html#proxy_buffering"""

STREAM_UNAVAILABLE = {"Event-Stream": "unavailable"}
"""Says to a client that asked for a stream why the answer is none: the front door sends answers in one piece."""


def wants_stream(request: Request) -> bool:
    """Whether `Accept` names event streams, and prefers nothing else that is served here."""
    weights: dict[str, float] = {}
    for entry in ",".join(request.headers.getlist("accept")).split(","):
        media_type, *parameters = (part.strip().lower() for part in entry.split(";"))
        weights[media_type] = min((_weight(part[2:]) for part in parameters if part.startswith("q=")), default=1.0)
    return weights.get(MEDIA_TYPE, 0.0) > 0 and weights[MEDIA_TYPE] >= weights.get("application/json", 0.0)


def _weight(text: str) -> float:
    return float(text) if text.replace(".", "", 1).isdecimal() and text.isascii() else 0.0


def can_stream(front_door: FrontDoor, max_streams: int) -> bool:
    """Whether this process sends event streams at all."""
    return not front_door.buffers and max_streams > 0


def stream_doc(description: str) -> dict[int | str, Any]:
    """Build the `responses` entry of 200 of a route that can stream, beside its JSON."""
    doc = response_doc(200, description, "Event-Stream")
    doc[200]["content"] = {MEDIA_TYPE: {"schema": {"type": "string"}}}
    return doc


def encode_event(data: BaseModel, *, event: str | None = None, event_id: str | None = None) -> bytes:
    """Return one event. Without `event_id` it changes nothing of where a client resumes."""
    return format_sse_event(data_str=data.model_dump_json(), event=event, id=event_id)


def encode_retry() -> bytes:
    """Return what a stream begins with: when to connect again after it."""
    return format_sse_event(retry=RETRY_MS)


class EventStreamResponse(EventSourceResponse):
    """Sends `events` and holds `slot` meanwhile. Raises TooManyStreams, before anything is sent, if it gets none.

    A reader who has not taken everything after `seconds` is cut off: the answer is over by then.
    """

    def __init__(self, events: AsyncGenerator[bytes], slot: AbstractContextManager[bool], seconds: float) -> None:
        super().__init__(events, headers=_NO_BUFFERING)
        self._events = events
        self._slot = slot
        self._seconds = seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the response."""
        async with aclosing(self._events):
            with self._slot as granted:
                if not granted:
                    raise TooManyStreams(
                        "As many event streams are open as this process allows.", retry_after=RETRY_AFTER_SECONDS
                    )
                try:
                    async with asyncio.timeout(self._seconds):
                        await super().__call__(scope, receive, send)
                except TimeoutError:
                    raise ClientDisconnect from None
