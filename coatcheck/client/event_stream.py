"""Server-sent events, read from the bytes of a stream. Nothing that a server sends is held without a limit.

https://html.spec.whatwg.org/multipage/server-sent-events.html#parsing-an-event-stream
"""

from __future__ import annotations

import codecs
import io
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

MEDIA_TYPE = "text/event-stream"

MESSAGE = "message"
"""The name of an event that does not say it."""

MAX_EVENT_LENGTH = 256 * 1024
"""Characters of one event."""


@dataclass(frozen=True, slots=True)
class ServerSentEvent:
    """One event. `id` is None if it has none of its own: a client then resumes after the one before."""

    name: str
    data: str
    id: str | None


def read_events(chunks: Iterable[bytes]) -> Iterator[ServerSentEvent]:
    """The events in a stream, as they arrive; one that is cut off is none.

    Raises ValueError for an event that is longer than MAX_EVENT_LENGTH.
    """
    utf8 = codecs.getincrementaldecoder("utf-8")("replace")
    decoder = io.IncrementalNewlineDecoder(utf8, translate=True)
    rest = ""
    for chunk in chunks:
        *blocks, rest = (rest + decoder.decode(chunk)).split("\n\n")
        if len(rest) > MAX_EVENT_LENGTH:
            raise ValueError("the server sent an event that is too long")
        for block in blocks:
            if event := _event(block):
                yield event


def _event(block: str) -> ServerSentEvent | None:
    """The event between two empty lines; None for comments, and for what has no data."""
    fields: dict[str, list[str]] = {}
    for line in block.split("\n"):
        name, _, value = line.partition(":")
        fields.setdefault(name, []).append(value.removeprefix(" "))
    if "data" not in fields:
        return None
    event, event_id = (fields[field][-1] if field in fields else None for field in ("event", "id"))
    return ServerSentEvent(event or MESSAGE, "\n".join(fields["data"]), event_id)
