"""`Prefer: wait=N` (RFC 7240): holding an answer back until the job is done."""

from __future__ import annotations

import asyncio
import re

from fastapi import Request

from coatcheck.calls import AwsUnavailable
from coatcheck.record import Job
from coatcheck.table import items
from coatcheck.table.keys import JobKey
from service.tools import Tools

LONGEST = 25
"""Seconds. API Gateway gives up after 29."""

FIRST_LOOK = 0.1
LATER_LOOKS = 1.5
SLOWEST_LOOK = 1.0

_PREFERENCE = re.compile(r'(?:[^,"]|"(?:[^"\\]|\\.)*")+')
_SECONDS = re.compile(r'"?(\d{1,9})"?', re.ASCII)


def wait_asked(request: Request) -> int | None:
    """The seconds the client would wait, at most `LONGEST`; None where it does not say so in a way that counts."""
    for preference in _PREFERENCE.findall(",".join(request.headers.getlist("prefer"))):
        name, _, value = preference.partition(";")[0].partition("=")
        if name.strip().lower() == "wait":
            seconds = _SECONDS.fullmatch(value.strip())
            return min(int(seconds[1]), LONGEST) if seconds else None
    return None


async def hold(tools: Tools, job: Job, request: Request, seconds: int | None) -> Job:
    """The job when it is done, or as it is when the seconds are over, the client is gone or AWS does not answer."""
    clock = asyncio.get_running_loop().time
    deadline = clock() + (seconds or 0)
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
