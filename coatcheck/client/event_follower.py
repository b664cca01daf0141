"""Follows a job: by a stream of events where the server offers one, by polling where it does not."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from itertools import islice
from typing import Any

import httpx

from coatcheck.client.event_stream import MEDIA_TYPE, MESSAGE, ServerSentEvent, read_events
from coatcheck.client.exceptions import ConnectionFailed, UnexpectedResponseError
from coatcheck.client.job import Job
from coatcheck.client.response_schemas import validate
from coatcheck.client.text import strict_json
from coatcheck.core.lifecycle import TRANSITIONS

RECONNECT_SECONDS = 1.0
"""Seconds between the end of a stream and the next."""

PROGRESS = "progress"

_LAST_EVENTS = frozenset(made.event for made in TRANSITIONS if made.target is not None and made.target.final)
_EVENT_ID = re.compile(r"[!-~]{1,200}")


@dataclass(frozen=True, slots=True)
class FollowTransport:
    """What following needs of a client.

    `open` begins the stream of a job after an event, if any. It returns None when the server has no room for a stream.
    `chunks` are the bytes of a stream. `events` lists those of a job so far, and `watch` polls a job until it is done.
    """

    open: Callable[[str, str | None], httpx.Response | None]
    chunks: Callable[[httpx.Response], Iterator[bytes]]
    events: Callable[[str], Iterator[Mapping[str, Any]]]
    watch: Callable[[str], Iterator[Job]]


def follow(transport: FollowTransport, job_id: str) -> Iterator[Mapping[str, Any]]:
    """Each event of a job, and its progress in between, until it is done."""
    known, last = 0, None
    while (response := transport.open(job_id, last)) is not None:
        with closing(response):
            if response.status_code == 204:
                return
            if not _is_stream(response):
                break
            for event in _until_lost(transport, response):
                update = _update(event, response)
                if event.name == MESSAGE:
                    known, last = known + 1, event.id
                if update:
                    yield update
                if update.get("type") in _LAST_EVENTS:
                    return
        time.sleep(RECONNECT_SECONDS)
    yield from _poll(transport, job_id, known)


def _is_stream(response: httpx.Response) -> bool:
    content_type: str = response.headers.get("content-type", "")
    return content_type.partition(";")[0].strip().lower() == MEDIA_TYPE


def _until_lost(transport: FollowTransport, response: httpx.Response) -> Iterator[ServerSentEvent]:
    try:
        yield from read_events(transport.chunks(response))
    except ConnectionFailed:
        return
    except ValueError as error:
        raise _unexpected(response) from error


def _update(event: ServerSentEvent, response: httpx.Response) -> Mapping[str, Any]:
    """What an event tells; nothing for a kind of event that is not known here."""
    if event.name not in {MESSAGE, PROGRESS}:
        return {}
    try:
        told = strict_json(event.data)
        validate("event" if event.name == MESSAGE else PROGRESS, told)
    except ValueError as error:
        raise _unexpected(response) from error
    if event.name == PROGRESS:
        return {**told, "type": PROGRESS}
    if event.id is None or not _EVENT_ID.fullmatch(event.id):
        raise _unexpected(response)
    return dict(told)


def _unexpected(response: httpx.Response) -> UnexpectedResponseError:
    return UnexpectedResponseError(str(response.url), response.status_code, "an event that is none")


def _poll(transport: FollowTransport, job_id: str, known: int) -> Iterator[Mapping[str, Any]]:
    """As `follow`, when `known` events have been told already."""
    version: object = None
    progress: Mapping[str, Any] = {}
    for job in transport.watch(job_id):
        if job.view.get("version") != version:
            version = job.view.get("version")
            for event in islice(transport.events(job_id), known, None):
                known += 1
                yield event
        if job.progress not in ({}, progress) and not job.done:
            yield {**job.progress, "type": PROGRESS}
        progress = job.progress
