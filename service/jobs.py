"""Finding jobs, and answering with them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from fastapi import Response

from coatcheck.clock import SECOND
from coatcheck.errors import Gone, NotFound
from coatcheck.ids import is_id
from coatcheck.lifecycle import Status
from coatcheck.record import Blob, Job
from coatcheck.table import items
from coatcheck.table.keys import JobKey
from coatcheck.views import job_view
from coatcheck.wire import JobView
from service.caller import Caller
from service.etags import job_tag
from service.tools import Tools

SLOWEST_POLL = 10
LONGEST_SLEEP = 60


async def find(caller: Caller, job_id: str) -> Job:
    """The caller's job, whether or not its retention is over. Raises NotFound."""
    job = None
    if is_id("job", job_id):
        job = await caller.tools.aws.send(items.get_job(caller.tools.table, JobKey(caller.tenant, job_id)))
    if job is None:
        raise NotFound("There is no such job.")
    return job


async def find_kept(caller: Caller, job_id: str) -> Job:
    """The caller's job. Raises NotFound, or Gone when its retention is over."""
    return kept(await find(caller, job_id), caller.tools.clock())


def kept(job: Job, now: int) -> Job:
    """The job itself. Raises Gone when its retention is over."""
    if job.gone(now):
        raise Gone("The job was deleted, or its retention is over.")
    return job


async def artifacts_of(tools: Tools, job: Job) -> Sequence[Blob]:
    """What the job made besides its result; costs a read only where there is something."""
    return await tools.aws.send(items.get_artifacts(tools.table, job)) if job.artifact_count else ()


async def view_of(caller: Caller, job: Job) -> JobView:
    """The job as clients see it."""
    return job_view(job, await artifacts_of(caller.tools, job), caller.base_url)


def answer(
    caller: Caller, job: Job, view: JobView, *, status: int = 200, headers: Mapping[str, str] | None = None
) -> Response:
    """An answer that shows the job, and says when to look again if it is not done."""
    polled = {} if job.done else {"Retry-After": str(look_again_in(job, caller.tools.clock()))}
    shown = {"ETag": job_tag(job)} | polled | dict(headers or {})
    return Response(view.model_dump_json(), status, headers=shown, media_type="application/json")


def look_again_in(job: Job, now: int) -> int:
    """Seconds until it is worth looking at an unfinished job again: more, the longer it takes."""
    if job.status is Status.SCHEDULED and job.start_at is not None:
        return min(max(-(-(job.start_at - now) // SECOND), 1), LONGEST_SLEEP)
    since = job.claimed_at or job.start_at or job.created_at
    return min(max((now - since) // (10 * SECOND), 1), SLOWEST_POLL)
