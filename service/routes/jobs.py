"""Jobs: submit, look, list, cancel, replay, delete, history."""

from __future__ import annotations

import re
from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from coatcheck.calls import AwsError
from coatcheck.errors import (
    AlreadyFinished,
    Gone,
    IdempotencyKeyReused,
    InvalidRequest,
    MalformedJson,
    NotFinished,
    NotFound,
    PayloadTooLarge,
    UnsupportedMediaType,
)
from coatcheck.views import job_url, job_view
from coatcheck.wire import EventView, JobView, Listing, SubmitRequest
from service.body import read_json
from service.caller import Authenticated, Caller
from service.cancel import cancel
from service.documented import JobId, answers, guarded, takes
from service.etags import is_known, job_tag, not_modified
from service.history import EventQuery, list_events
from service.jobs import answer, find, find_kept, view_of
from service.listing import JobQuery, list_jobs
from service.prefer import held
from service.purge import purge
from service.replay import replay
from service.submit import Order, Submitted, submit

router = APIRouter(prefix="/v1/jobs", tags=["jobs"])

_VISIBLE_ASCII = re.compile(r"[!-~]{1,255}")

_SHOWN = ("Content-Location", "ETag", "Idempotent-Replayed", "Preference-Applied")
_MADE = answers(202, "Accepted.", "Location", "Retry-After", *_SHOWN, model=JobView) | answers(
    200, "Finished already.", *_SHOWN, model=JobView
)


@router.post(
    "",
    operation_id="submit",
    status_code=202,
    responses=_MADE
    | guarded(InvalidRequest, IdempotencyKeyReused, MalformedJson, PayloadTooLarge, UnsupportedMediaType),
    openapi_extra=takes("Idempotency-Key", "Prefer", body=SubmitRequest),
)
async def submit_job(caller: Authenticated, request: Request) -> Response:
    """Hand in a job."""
    key = _idempotency_key(request)
    received = await read_json(caller, request, SubmitRequest)
    return await _made(caller, request, await submit(caller, Order(received.asked, key, size=received.size)))


@router.get(
    "",
    operation_id="list_jobs",
    responses=guarded(InvalidRequest),
)
async def get_jobs(caller: Authenticated, query: Annotated[JobQuery, Query()]) -> Listing[JobView]:
    """List jobs, the newest first."""
    return await list_jobs(caller, query)


@router.get(
    "/{job_id}",
    operation_id="get_job",
    responses=answers(200, "The job.", "Retry-After", "ETag", "Preference-Applied", model=JobView)
    | answers(304, "The job is as the ETag says.", "Retry-After", "ETag")
    | guarded(NotFound, Gone),
    openapi_extra=takes("Prefer", "If-None-Match"),
)
async def get_job(caller: Authenticated, request: Request, job_id: JobId) -> Response:
    """Look at a job."""
    job = await find_kept(caller, job_id)
    waited = await held(caller, job, request)
    response = answer(caller, waited.job, await view_of(caller, waited.job), headers=waited.headers)
    return not_modified(response) if is_known(request, job_tag(waited.job)) else response


@router.delete(
    "/{job_id}",
    operation_id="delete_job",
    status_code=204,
    responses=answers(204, "Nothing is kept of the job.") | guarded(NotFound, NotFinished),
)
async def delete_job(caller: Authenticated, job_id: JobId) -> Response:
    """Purge a finished job with its input, result and artifacts now."""
    await purge(caller, await find(caller, job_id))
    return Response(status_code=204)


@router.post(
    "/{job_id}/cancel",
    operation_id="cancel_job",
    responses=answers(200, "The job is canceled.", "Content-Location", "ETag", model=JobView)
    | answers(202, "The worker has been told to stop.", "Retry-After", "Content-Location", "ETag", model=JobView)
    | guarded(NotFound, Gone, AlreadyFinished),
)
async def cancel_job(caller: Authenticated, job_id: JobId) -> Response:
    """Stop a job."""
    job = await cancel(caller, await find_kept(caller, job_id))
    headers = {"Content-Location": job_url(job.id, caller.base_url)}
    return answer(caller, job, await view_of(caller, job), status=200 if job.done else 202, headers=headers)


@router.post(
    "/{job_id}/replay",
    operation_id="replay_job",
    status_code=202,
    responses=_MADE | guarded(NotFound, Gone, NotFinished, InvalidRequest, IdempotencyKeyReused),
    openapi_extra=takes("Idempotency-Key", "Prefer"),
)
async def replay_job(caller: Authenticated, request: Request, job_id: JobId) -> Response:
    """Run a finished job again, as a new job with the same type and input."""
    key = _idempotency_key(request)
    return await _made(caller, request, await replay(caller, await find_kept(caller, job_id), key))


@router.get("/{job_id}/events", operation_id="list_events", responses=guarded(NotFound, Gone, InvalidRequest))
async def get_events(caller: Authenticated, job_id: JobId, query: Annotated[EventQuery, Query()]) -> Listing[EventView]:
    """The job's history, the first event first."""
    return await list_events(caller, await find_kept(caller, job_id), query)


async def _made(caller: Caller, request: Request, submitted: Submitted) -> Response:
    waited = await held(caller, submitted.job, request)
    job = waited.job
    try:
        view = await view_of(caller, job)
    except AwsError:
        # the job is accepted, whatever can be read of it now
        job = submitted.job
        view = job_view(job, (), caller.base_url)
    replayed = {"Idempotent-Replayed": "true"} if submitted.replayed else {}
    url = job_url(job.id, caller.base_url)
    # the content is the job itself (RFC 9110, 8.7); `Location` means something with 202, and nothing with 200 (10.2.2)
    where = {"Content-Location": url} | ({} if job.done else {"Location": url})
    headers = {**where, **replayed, **waited.headers}
    return answer(caller, job, view, status=200 if job.done else 202, headers=headers)


def _idempotency_key(request: Request) -> str | None:
    given = request.headers.getlist("idempotency-key")
    if not given:
        return None
    if len(given) > 1 or not _VISIBLE_ASCII.fullmatch(given[0]):
        raise InvalidRequest("The Idempotency-Key must be one of 1 to 255 visible ASCII characters.")
    return given[0]
