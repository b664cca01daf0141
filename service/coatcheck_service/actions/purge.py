"""Deletes a job and all its data."""

from __future__ import annotations

from dataclasses import replace

from coatcheck.core.aws import s3_keys
from coatcheck.core.aws.dynamodb import job_updates
from coatcheck.core.aws.flow import Flow, run_async
from coatcheck.core.errors import NotFinished, Unavailable
from coatcheck.core.flows.count_job import removed
from coatcheck.core.flows.remove_job import NotRemoved, remove_items, remove_objects
from coatcheck.core.job import Job
from coatcheck.core.settings import Settings
from coatcheck_service.http.authentication import RequestContext


async def purge(context: RequestContext, job: Job) -> None:
    """Delete a finished job now. Raises NotFinished, and Unavailable when some of its data cannot be removed yet.

    The row is deleted first: after a crash in between, it must not promise bytes that are gone. The rest is then
    removed by the sweeper, or when the client, who has no response, repeats the call.
    """
    dependencies = context.dependencies
    if not job.done:
        raise NotFinished(f"{job.id} is {job.status}: cancel it or wait until it is done, then delete it.")
    now = dependencies.clock()
    if not job.gone(now):
        outcome = await dependencies.transport.send(job_updates.purge_job(dependencies.table, job, now=now))
        # A refusal means that the job was deleted before, by another caller or by a first try whose reply was lost.
        # A later job with the same id may exist: remove only what belongs to this one.
        if isinstance(outcome, Job):
            await run_async(dependencies.transport, removed(dependencies.table, job))
        ended_at = outcome.expires_at if isinstance(outcome, Job) else job.created_at + 1
        job = replace(job, expires_at=ended_at)
    try:
        await run_async(dependencies.transport, _remove_rest(dependencies.settings, job, now))
    except NotRemoved as error:
        raise Unavailable(
            "The job is deleted. Some of its data could not be removed yet: it will be, or try again."
        ) from error


def _remove_rest(settings: Settings, job: Job, now: int) -> Flow[None]:
    # a base URL means that the job has webhooks: there may be deliveries, and one may be being created right now
    if job.artifact_count or job.legs.kept or job.history_from > 1 or job.base_url or job.gone(now):
        yield from remove_items(settings.table, job, now=now)
    for prefix in s3_keys.job_prefixes(job.tenant, job.id):
        yield from remove_objects(settings.bucket, prefix, left_by=job)
