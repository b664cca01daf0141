"""Runs a job again, as a new job."""

from __future__ import annotations

from functools import partial
from typing import Any

from pydantic_core import from_json

from coatcheck.core.api.models import SubmitRequest
from coatcheck.core.api.webhook_models import JobWebhook
from coatcheck.core.aws import s3, s3_keys
from coatcheck.core.clock import SECOND
from coatcheck.core.errors import Gone, NotFinished
from coatcheck.core.job import Job
from coatcheck.core.priority import Priority
from coatcheck_service.actions.downloads import CHUNK_SIZE
from coatcheck_service.actions.submit import Submission, SubmitResult, submit
from coatcheck_service.actions.tenant_limits import limits_of
from coatcheck_service.http.authentication import RequestContext
from coatcheck_service.s3_bodies import chunks


async def replay(context: RequestContext, job: Job, idempotency_key: str | None) -> SubmitResult:
    """Submit a new job with the type and the input of this one. It passes every check of a submit again.

    Raises NotFinished, and Gone when the input is no longer kept.
    """
    if not job.done:
        raise NotFinished(f"{job.id} is {job.status}: replay it when it is done.")
    text = await _input(context, job)
    given = await context.dependencies.offload.run(context.tenant, len(text), partial(from_json, text))
    request = _submit_request(context, job, given, (await limits_of(context)).priority_max)
    return await submit(context, Submission(request, idempotency_key, replayed_from=job.id, size=job.input.size))


def _submit_request(context: RequestContext, job: Job, given: Any, most_urgent: Priority | None) -> SubmitRequest:
    """Build the request that would submit the job, within the present limits."""
    limits = context.dependencies.catalog.get(job.type)
    return SubmitRequest(
        type=job.type,
        input=given,
        timeout=min(job.timeout_seconds, limits.timeout) if limits else None,
        max_attempts=min(job.counted_max_attempts, limits.max_attempts) if limits else None,
        retention=min(job.retention // SECOND, context.dependencies.settings.max_retention),
        priority=job.priority.within(most_urgent),
        metadata=dict(job.metadata),
        webhook=JobWebhook(**job.webhook) if job.webhook else None,
    )


async def _input(context: RequestContext, job: Job) -> bytes:
    if job.input.inline is not None:
        return job.input.inline
    s3_object = await context.dependencies.transport.send(s3.get(context.dependencies.bucket, s3_keys.input_key(job)))
    if s3_object is None:
        raise Gone(f"The input of {job.id} is no longer kept: submit it as a new job.")
    return b"".join([chunk async for chunk in chunks(s3_object, CHUNK_SIZE)])
