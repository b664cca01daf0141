"""Running a job again, as a new one."""

from __future__ import annotations

from functools import partial
from typing import Any

from pydantic_core import from_json

from coatcheck import blobs
from coatcheck.clock import SECOND
from coatcheck.errors import Gone, NotFinished
from coatcheck.record import Job
from coatcheck.wire import SubmitRequest
from coatcheck.wire_webhooks import JobWebhook
from service.aws import chunks
from service.caller import Caller
from service.downloads import CHUNK
from service.submit import Order, Submitted, submit


async def replay(caller: Caller, job: Job, idempotency_key: str | None) -> Submitted:
    """A new job with the type and the input of this one; it goes through every check of a submit again.

    Raises NotFinished, and Gone when the input is no longer kept.
    """
    if not job.done:
        raise NotFinished(f"The job is {job.status}: running it twice at once is rarely meant.")
    text = await _input(caller, job)
    given = await caller.tools.offload.run(caller.tenant, len(text), partial(from_json, text))
    asked = _asked(caller, job, given)
    return await submit(caller, Order(asked, idempotency_key, replayed_from=job.id, size=job.input.size))


def _asked(caller: Caller, job: Job, given: Any) -> SubmitRequest:
    """The submit that would make the job, within the limits of today."""
    limits = caller.tools.catalog.get(job.type)
    return SubmitRequest(
        type=job.type,
        input=given,
        timeout=min(job.timeout_seconds, limits.timeout) if limits else None,
        max_attempts=min(job.max_attempts, limits.max_attempts) if limits else None,
        retention=min(job.retention // SECOND, caller.tools.deployment.max_retention),
        metadata=dict(job.metadata),
        webhook=JobWebhook(**job.webhook) if job.webhook else None,
    )


async def _input(caller: Caller, job: Job) -> bytes:
    if job.input.inline is not None:
        return job.input.inline
    stored = await caller.tools.aws.send(blobs.get(caller.tools.bucket, blobs.input_key(job)))
    if stored is None:
        raise Gone("The input is no longer kept.")
    return b"".join([chunk async for chunk in chunks(stored, CHUNK)])
