"""`Prefer: wait=N` (RFC 7240): delays the response until the job is done."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from dataclasses import dataclass

from fastapi import Request

from coatcheck.core.aws.call import AwsUnavailable
from coatcheck.core.aws.dynamodb import job_items
from coatcheck.core.aws.dynamodb.keys import JobKey
from coatcheck.core.job import Job
from coatcheck_service.http.authentication import RequestContext

MAX_WAIT_SECONDS = 25
"""Seconds. API Gateway gives up after 29."""

FIRST_POLL_SECONDS = 0.1
POLL_BACKOFF = 1.5
MAX_POLL_SECONDS = 1.0

_PREFERENCE = re.compile(r'(?:[^,"]|"(?:[^"\\]|\\.)*")+')
_SECONDS = re.compile(r'"?(\d{1,9})"?', re.ASCII)


@dataclass(frozen=True, slots=True)
class LongPoll:
    """A job after the wait, and the header that says how long a wait was granted, if one was requested."""

    job: Job
    headers: Mapping[str, str]


def requested_wait(request: Request, max_seconds: int) -> int | None:
    """Return the seconds the client would wait, at most `max_seconds`; None without a valid `wait` preference."""
    for preference in _PREFERENCE.findall(",".join(request.headers.getlist("prefer"))):
        name, _, value = preference.partition(";")[0].partition("=")
        if name.strip().lower() == "wait":
            seconds = _SECONDS.fullmatch(value.strip())
            return min(int(seconds[1]), max_seconds) if seconds else None
    return None


async def wait_until_done(context: RequestContext, job: Job, request: Request) -> LongPoll:
    """Return the job when it is done, or as last read when the wait is over, the client is gone or AWS is unavailable.

    When as many requests wait as are allowed, this one does not: it returns the job as it is.
    """
    seconds = requested_wait(request, context.dependencies.settings.longest_wait)
    if seconds is None:
        return LongPoll(job, {})
    if seconds and not job.done:
        with context.dependencies.long_poll_slots.acquire(
            context.tenant, limit=context.dependencies.settings.max_waits
        ) as granted:
            seconds = seconds if granted else 0
            job = await _poll(context, job, request, seconds)
    return LongPoll(job, {"Preference-Applied": f"wait={seconds}"})


async def _poll(context: RequestContext, job: Job, request: Request, seconds: int) -> Job:
    dependencies, clock = context.dependencies, asyncio.get_running_loop().time
    deadline = clock() + seconds
    pause = FIRST_POLL_SECONDS
    while not job.done and (remaining := deadline - clock()) > 0 and not await request.is_disconnected():
        await asyncio.sleep(min(pause, remaining))
        pause = min(pause * POLL_BACKOFF, MAX_POLL_SECONDS)
        try:
            now = await dependencies.transport.send(job_items.get_job(dependencies.table, JobKey(job.tenant, job.id)))
        except AwsUnavailable:
            break
        if now is None:
            break
        job = now
    return job
