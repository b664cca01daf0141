"""`Prefer: wait=N` (RFC 7240): holding an answer back until the job is done."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from dataclasses import dataclass

from fastapi import Request

from coatcheck.calls import AwsUnavailable
from coatcheck.record import Job
from coatcheck.table import items
from coatcheck.table.keys import JobKey
from service.caller import Caller

LONGEST = 25
"""Seconds. API Gateway gives up after 29."""

FIRST_LOOK = 0.1
LATER_LOOKS = 1.5
SLOWEST_LOOK = 1.0

_PREFERENCE = re.compile(r'(?:[^,"]|"(?:[^"\\]|\\.)*")+')
_SECONDS = re.compile(r'"?(\d{1,9})"?', re.ASCII)


@dataclass(frozen=True, slots=True)
class Held:
    """A job as it is after the wait, and the header that says how long a wait was granted, if one was asked for."""

    job: Job
    headers: Mapping[str, str]


def wait_asked(request: Request, longest: int) -> int | None:
    """The seconds the client would wait, at most `longest`; None where it does not say so in a way that counts."""
    for preference in _PREFERENCE.findall(",".join(request.headers.getlist("prefer"))):
        name, _, value = preference.partition(";")[0].partition("=")
        if name.strip().lower() == "wait":
            seconds = _SECONDS.fullmatch(value.strip())
            return min(int(seconds[1]), longest) if seconds else None
    return None


async def held(caller: Caller, job: Job, request: Request) -> Held:
    """The job when it is done, or as it is when the wait is over, the client is gone or AWS does not answer.

    There is no wait when as many wait as may: what is answered then is the job as it is.
    """
    seconds = wait_asked(request, caller.tools.deployment.longest_wait)
    if seconds is None:
        return Held(job, {})
    if seconds and not job.done:
        with caller.tools.waits.one(caller.tenant, most=caller.tools.deployment.max_waits) as granted:
            seconds = seconds if granted else 0
            job = await _done(caller, job, request, seconds)
    return Held(job, {"Preference-Applied": f"wait={seconds}"})


async def _done(caller: Caller, job: Job, request: Request, seconds: int) -> Job:
    tools, clock = caller.tools, asyncio.get_running_loop().time
    deadline = clock() + seconds
    pause = FIRST_LOOK
    while not job.done and (left := deadline - clock()) > 0 and not await request.is_disconnected():
        await asyncio.sleep(min(pause, left))
        pause = min(pause * LATER_LOOKS, SLOWEST_LOOK)
        try:
            now = await tools.aws.send(items.get_job(tools.table, JobKey(job.tenant, job.id)))
        except AwsUnavailable:
            break
        if now is None:
            break
        job = now
    return job
