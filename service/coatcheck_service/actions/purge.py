"""Deleting a job with all that is kept of it."""

from __future__ import annotations

from dataclasses import replace

from coatcheck.core.aws import s3, s3_keys
from coatcheck.core.aws.dynamodb import job_items, job_updates
from coatcheck.core.aws.dynamodb.purge_marks import mark_purged
from coatcheck.core.errors import NotFinished, Unavailable
from coatcheck.core.job import Job
from coatcheck_service.dependencies import Dependencies
from coatcheck_service.http.authentication import RequestContext

MAX_ROUNDS = 50
"""How often the items or the objects of a job are looked for that are left: what S3 keeps is not asked for for ever."""


async def purge(context: RequestContext, job: Job) -> None:
    """Forget a finished job now. Raises NotFinished, and Unavailable when something of it cannot be removed yet.

    The row goes first: if we die in between, it must not promise bytes that are gone. The rest is then removed by
    the sweeper, or when the client, who has no answer, repeats the call. The mark goes before the deliveries: one that
    is not found among them is made after it, and finds it.
    """
    dependencies = context.dependencies
    if not job.done:
        raise NotFinished(f"The job is {job.status}.")
    now = dependencies.clock()
    if not job.gone(now):
        outcome = await dependencies.transport.send(job_updates.purge_job(dependencies.table, job, now=now))
        # refused, it was forgotten before, by a first try whose reply was lost or by another caller, and the next job
        # under its id may be there: only its own things go
        ended_at = outcome.expires_at if isinstance(outcome, Job) else job.created_at + 1
        job = replace(job, expires_at=ended_at)
    # with a base URL somebody was to be told of it: there may be deliveries, and one may just be being made
    if job.base_url:
        await dependencies.transport.send(mark_purged(dependencies.table, job, now=now))
    if job.artifact_count or job.history_from > 1 or job.base_url or job.gone(now):
        await _remove_items(dependencies, job)
    for prefix in s3_keys.job_prefixes(job.tenant, job.id):
        await _remove_objects(dependencies, job, prefix)


async def _remove_items(dependencies: Dependencies, job: Job) -> None:
    for _ in range(MAX_ROUNDS):
        item_keys = await dependencies.transport.send(job_items.list_job_items(dependencies.table, job))
        if not item_keys:
            return
        await dependencies.transport.send(job_items.delete_items(dependencies.table, item_keys))
    raise _unfinished()


async def _remove_objects(dependencies: Dependencies, job: Job, prefix: str) -> None:
    for _ in range(MAX_ROUNDS):
        keys = await _remaining_keys(dependencies, job, prefix)
        if not keys:
            return
        if await dependencies.transport.send(s3.delete(dependencies.bucket, keys)):
            break
    raise _unfinished()


def _unfinished() -> Unavailable:
    return Unavailable("The job is forgotten; not all that belongs to it could be removed yet. The rest follows.")


async def _remaining_keys(dependencies: Dependencies, job: Job, prefix: str) -> list[str]:
    keys = await dependencies.transport.send(s3.list_keys(dependencies.bucket, prefix))
    return s3_keys.keys_left_by(job, keys)
