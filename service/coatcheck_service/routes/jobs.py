"""Jobs: submit, look, list, cancel, replay, delete, history."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from coatcheck.core.api.models import EventView, JobView, Listing, SubmitRequest
from coatcheck.core.api.views import job_url
from coatcheck.core.errors import (
    AlreadyFinished,
    Gone,
    IdempotencyKeyReused,
    InvalidRequest,
    MalformedJson,
    NotFinished,
    NotFound,
    PayloadTooLarge,
    StorageQuotaExceeded,
    SubmitRateExceeded,
    TooManyJobsWaiting,
    TooManyStreams,
    UnsupportedMediaType,
)
from coatcheck_service.actions.cancel import cancel
from coatcheck_service.actions.follow_events import follow_events
from coatcheck_service.actions.job_lookup import find, find_retained, job_response, load_job_view
from coatcheck_service.actions.list_events import EventQuery, list_events
from coatcheck_service.actions.list_jobs import JobQuery, list_jobs
from coatcheck_service.actions.purge import purge
from coatcheck_service.actions.replay import replay
from coatcheck_service.http.authenticated import Authenticated
from coatcheck_service.http.event_stream import STREAM_UNAVAILABLE, can_stream, stream_doc, wants_stream
from coatcheck_service.http.openapi import problem_docs, request_doc, response_doc
from coatcheck_service.http.path_parameters import JobId
from coatcheck_service.http.rate_limit import RATE_LIMIT, RATE_LIMIT_POLICY
from coatcheck_service.routes import frequent

router = APIRouter(prefix="/v1/jobs", tags=["jobs"])

_JOB_HEADERS = ("Content-Location", "ETag", "Idempotent-Replayed", "Preference-Applied")
_RATE_HEADERS = (RATE_LIMIT, RATE_LIMIT_POLICY)
_SUBMIT_RESPONSES = response_doc(
    202, "Accepted.", "Location", "Retry-After", *_JOB_HEADERS, *_RATE_HEADERS, model=JobView
) | response_doc(200, "Finished already.", *_JOB_HEADERS, *_RATE_HEADERS, model=JobView)
_SUBMIT_PROBLEMS = (
    InvalidRequest,
    IdempotencyKeyReused,
    SubmitRateExceeded,
    TooManyJobsWaiting,
    StorageQuotaExceeded,
)

_EVENTS_RESPONSES = (
    stream_doc("The history, or a stream of it.")
    | response_doc(204, "The job is done, and `Last-Event-ID` is its last event.")
    | problem_docs(NotFound, Gone, InvalidRequest, TooManyStreams)
)


@router.post(
    "",
    operation_id="submit",
    status_code=202,
    responses=_SUBMIT_RESPONSES | problem_docs(*_SUBMIT_PROBLEMS, MalformedJson, PayloadTooLarge, UnsupportedMediaType),
    openapi_extra=request_doc("Idempotency-Key", "Prefer", body=SubmitRequest),
)
async def submit_job(context: Authenticated, request: Request) -> Response:
    """Hand in a job."""
    return await frequent.submit_job(context, request)


@router.get(
    "",
    operation_id="list_jobs",
    responses=problem_docs(InvalidRequest),
)
async def get_jobs(context: Authenticated, query: Annotated[JobQuery, Query()]) -> Listing[JobView]:
    """List jobs, the newest first."""
    return await list_jobs(context, query)


@router.get(
    "/{job_id}",
    operation_id="get_job",
    responses=response_doc(200, "The job.", "Retry-After", "ETag", "Preference-Applied", model=JobView)
    | response_doc(304, "The job is as the ETag says.", "Retry-After", "ETag")
    | problem_docs(NotFound, Gone),
    openapi_extra=request_doc("Prefer", "If-None-Match"),
)
async def get_job(context: Authenticated, request: Request, job_id: JobId) -> Response:
    """Look at a job."""
    return await frequent.get_job(context, request, job_id)


@router.delete(
    "/{job_id}",
    operation_id="delete_job",
    status_code=204,
    responses=response_doc(204, "Nothing is kept of the job.") | problem_docs(NotFound, NotFinished),
)
async def delete_job(context: Authenticated, job_id: JobId) -> Response:
    """Purge a finished job with its input, result and artifacts now."""
    await purge(context, await find(context, job_id))
    return Response(status_code=204)


@router.post(
    "/{job_id}/cancel",
    operation_id="cancel_job",
    responses=response_doc(200, "The job is canceled.", "Content-Location", "ETag", model=JobView)
    | response_doc(202, "The worker has been told to stop.", "Retry-After", "Content-Location", "ETag", model=JobView)
    | problem_docs(NotFound, Gone, AlreadyFinished),
)
async def cancel_job(context: Authenticated, job_id: JobId) -> Response:
    """Stop a job."""
    job = await cancel(context, await find_retained(context, job_id))
    headers = {"Content-Location": job_url(job.id, context.base_url)}
    return job_response(
        context, job, await load_job_view(context, job), status=200 if job.done else 202, headers=headers
    )


@router.post(
    "/{job_id}/replay",
    operation_id="replay_job",
    status_code=202,
    responses=_SUBMIT_RESPONSES | problem_docs(NotFound, Gone, NotFinished, *_SUBMIT_PROBLEMS),
    openapi_extra=request_doc("Idempotency-Key", "Prefer"),
)
async def replay_job(context: Authenticated, request: Request, job_id: JobId) -> Response:
    """Run a finished job again, as a new job with the same type and input."""
    key = frequent.idempotency_key(request)
    return await frequent.submitted_response(
        context, request, await replay(context, await find_retained(context, job_id), key)
    )


@router.get(
    "/{job_id}/events",
    operation_id="list_events",
    response_model=Listing[EventView],
    responses=_EVENTS_RESPONSES,
    openapi_extra=request_doc("Last-Event-ID"),
)
async def get_events(
    context: Authenticated, request: Request, response: Response, job_id: JobId, query: Annotated[EventQuery, Query()]
) -> Response | Listing[EventView]:
    """The job's history, the first event first; with `Accept: text/event-stream`, also what happens from now on."""
    job = await find_retained(context, job_id)
    if wants_stream(request):
        if can_stream(context.front_door, context.dependencies.settings.max_streams):
            return follow_events(context, request, job)
        response.headers.update(STREAM_UNAVAILABLE)
    return await list_events(context, job, query)
