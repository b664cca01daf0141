"""The two operations that are asked for most. `jobs` declares them to FastAPI; they are served without it."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from coatcheck.core.api.models import SubmitRequest
from coatcheck.core.api.views import job_url, job_view
from coatcheck.core.aws.call import AwsError
from coatcheck.core.errors import InvalidRequest
from coatcheck.core.ids import IDEMPOTENCY_KEY
from coatcheck_service.actions.job_lookup import find_retained, job_response, load_job_view
from coatcheck_service.actions.long_poll import wait_until_done
from coatcheck_service.actions.submit import Submission, SubmitResult, submit
from coatcheck_service.http.authentication import RequestContext
from coatcheck_service.http.body import read_json
from coatcheck_service.http.direct_routes import DirectRoute
from coatcheck_service.http.etags import job_etag, matches_etag, not_modified
from coatcheck_service.http.rate_limit import rate_limit_headers


async def submit_job(context: RequestContext, request: Request) -> Response:
    """Hand in a job."""
    key = idempotency_key(request)
    received = await read_json(context, request, SubmitRequest)
    return await submitted_response(
        context, request, await submit(context, Submission(received.value, key, size=received.size))
    )


async def get_job(context: RequestContext, request: Request, job_id: str) -> Response:
    """Look at a job."""
    job = await find_retained(context, job_id)
    waited = await wait_until_done(context, job, request)
    response = job_response(context, waited.job, await load_job_view(context, waited.job), headers=waited.headers)
    return not_modified(response) if matches_etag(request, job_etag(waited.job)) else response


DIRECT_ROUTES = (
    DirectRoute("GET", "/v1/jobs/{job_id}", "get_job", get_job),
    DirectRoute("POST", "/v1/jobs", "submit", submit_job),
)
"""These operations, as they are served without FastAPI. A test compares them with FastAPI's."""


async def submitted_response(context: RequestContext, request: Request, submitted: SubmitResult) -> Response:
    """Answer a submit, once its client has waited for the job as long as it wants to."""
    waited = await wait_until_done(context, submitted.job, request)
    job = waited.job
    try:
        view = await load_job_view(context, job)
    except AwsError:
        # the job is accepted, whatever can be read of it now
        job = submitted.job
        view = job_view(job, (), context.base_url)
    replayed = {"Idempotent-Replayed": "true"} if submitted.deduplicated else {}
    url = job_url(job.id, context.base_url)
    # the content is the job itself (RFC 9110, 8.7); `Location` means something with 202, and nothing with 200 (10.2.2)
    locations = {"Content-Location": url} | ({} if job.done else {"Location": url})
    rate = rate_limit_headers(submitted.rate) if submitted.rate else {}
    headers = {**locations, **replayed, **waited.headers, **rate}
    return job_response(context, job, view, status=200 if job.done else 202, headers=headers)


def idempotency_key(request: Request) -> str | None:
    """Return the key that the request brings, if any. Raises InvalidRequest."""
    values = request.headers.getlist("idempotency-key")
    if not values:
        return None
    if len(values) > 1 or not IDEMPOTENCY_KEY.fullmatch(values[0]):
        raise InvalidRequest("The Idempotency-Key must be 1 to 255 visible ASCII characters, and be sent once.")
    return values[0]
