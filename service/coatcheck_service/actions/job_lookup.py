"""Finds jobs, and builds responses that show them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from starlette.responses import Response

from coatcheck.core.api.models import JobView
from coatcheck.core.api.views import job_view
from coatcheck.core.aws.dynamodb import job_items
from coatcheck.core.aws.dynamodb.keys import JobKey
from coatcheck.core.aws.flow import run_async
from coatcheck.core.clock import SECOND
from coatcheck.core.errors import Gone, NotFound
from coatcheck.core.flows.artifacts import all_artifacts
from coatcheck.core.ids import is_id
from coatcheck.core.job import Artifact, Job
from coatcheck.core.lifecycle import Status
from coatcheck.core.sanitize import quoted
from coatcheck_service.dependencies import Dependencies
from coatcheck_service.http.authentication import RequestContext
from coatcheck_service.http.etags import job_etag

MAX_RETRY_AFTER = 10
MAX_RETRY_AFTER_SCHEDULED = 60


async def find(context: RequestContext, job_id: str) -> Job:
    """Return the caller's job, whether or not its retention is over. Raises NotFound."""
    job = None
    if is_id("job", job_id):
        job = await context.dependencies.transport.send(
            job_items.get_job(context.dependencies.table, JobKey(context.tenant, job_id))
        )
    if job is None:
        raise job_not_found(job_id)
    return job


def job_not_found(job_id: str) -> NotFound:
    """Build the error, the same for a job of another tenant as for one that never existed."""
    return NotFound(f"There is no job {quoted(job_id)} (it may have been deleted; its retention may have ended).")


async def find_retained(context: RequestContext, job_id: str) -> Job:
    """Return the caller's job. Raises NotFound, or Gone when its retention is over."""
    return require_retained(await find(context, job_id), context.dependencies.clock())


def require_retained(job: Job, now: int) -> Job:
    """Return the job itself. Raises Gone when its retention is over."""
    if job.gone(now):
        raise Gone(f"{job.id} is no longer kept: it was deleted, or its retention has ended.")
    return job


async def load_artifacts(dependencies: Dependencies, job: Job) -> Sequence[Artifact]:
    """Return the job's artifacts; this costs a read only if it has any."""
    return await run_async(dependencies.transport, all_artifacts(dependencies.table, job))


async def load_job_view(context: RequestContext, job: Job) -> JobView:
    """Return the job as clients see it."""
    return job_view(job, await load_artifacts(context.dependencies, job), context.base_url)


def job_response(
    context: RequestContext, job: Job, view: JobView, *, status: int = 200, headers: Mapping[str, str] | None = None
) -> Response:
    """Build a response that shows the job, with Retry-After if the job is not done."""
    retry_after = {} if job.done else {"Retry-After": str(retry_after_seconds(job, context.dependencies.clock()))}
    all_headers = {"ETag": job_etag(job)} | retry_after | dict(headers or {})
    return Response(view.model_dump_json(), status, headers=all_headers, media_type="application/json")


def retry_after_seconds(job: Job, now: int) -> int:
    """Seconds until a client should ask for an unfinished job again: more, the longer the job takes."""
    if job.status is Status.SCHEDULED and job.start_at is not None:
        return min(max(-(-(job.start_at - now) // SECOND), 1), MAX_RETRY_AFTER_SCHEDULED)
    since = job.claimed_at or job.start_at or job.created_at
    return min(max((now - since) // (10 * SECOND), 1), MAX_RETRY_AFTER)
