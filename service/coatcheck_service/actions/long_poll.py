"""`Prefer: wait=N` (RFC 7240): delays the response until the job is done."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from dataclasses import dataclass

from starlette.requests import Request

from coatcheck.core.job import Job
from coatcheck_service.actions.tenant_limits import charge_wait
from coatcheck_service.http.authentication import RequestContext

MAX_WAIT_SECONDS = 25
"""Seconds. API Gateway gives up after 29."""

DISCONNECT_SECONDS = 1.0
"""Seconds between two looks at whether the client is still there."""

_PREFERENCE = re.compile(r'(?:[^,"]|"(?:[^"\\]|\\.)*")+')
MAX_PREFER_LENGTH = 1000
"""Characters of `Prefer`. A longer one is ignored, as any may be (RFC 7240, 2): looking for the ends of quotes takes
time that grows with the square."""

_SECONDS = re.compile(r'"?(\d{1,9})"?', re.ASCII)


@dataclass(frozen=True, slots=True)
class LongPoll:
    """A job after the wait, and the header that says how long a wait was granted, if one was requested."""

    job: Job
    headers: Mapping[str, str]


def requested_wait(request: Request, max_seconds: int) -> int | None:
    """Return the seconds the client would wait, at most `max_seconds`; None without a valid `wait` preference."""
    given = ",".join(request.headers.getlist("prefer"))
    if len(given) > MAX_PREFER_LENGTH:
        return None
    for preference in _PREFERENCE.findall(given):
        name, _, value = preference.partition(";")[0].partition("=")
        if name.strip().lower() == "wait":
            seconds = _SECONDS.fullmatch(value.strip())
            return min(int(seconds[1]), max_seconds) if seconds else None
    return None


async def wait_until_done(context: RequestContext, job: Job, request: Request) -> LongPoll:
    """Return the job when it is done, or as last read when the wait is over, the client is gone or the process stops.

    When as many requests wait as are allowed, in this process or in this minute, this one does not: it returns the job
    as it is.
    """
    seconds = requested_wait(request, context.dependencies.settings.longest_wait)
    if seconds is None:
        return LongPoll(job, {})
    if seconds and not job.done:
        with context.dependencies.long_poll_slots.acquire(
            context.tenant, limit=context.dependencies.settings.max_waits
        ) as granted:
            seconds = seconds if granted and await charge_wait(context) else 0
            job = await _wait(context, job, request, seconds)
    return LongPoll(job, {"Preference-Applied": f"wait={seconds}"})


async def _wait(context: RequestContext, job: Job, request: Request, seconds: int) -> Job:
    dependencies, clock = context.dependencies, asyncio.get_running_loop().time
    deadline = clock() + seconds
    with dependencies.job_feed.follow(dependencies.transport, dependencies.table, job) as followed:
        while not job.done and (left := deadline - clock()) > 0 and not dependencies.job_feed.closed:
            if await request.is_disconnected():
                break
            job = await followed.next(job, min(left, DISCONNECT_SECONDS)) or job
    return job
