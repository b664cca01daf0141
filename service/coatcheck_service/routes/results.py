"""Results and artifacts of jobs."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from coatcheck.core.api.models import JobView, LinkView
from coatcheck.core.errors import Gone, InvalidRequest, NoResult, NotFound, RangeNotSatisfiable
from coatcheck_service.actions.downloads import download_response, find_download, link_view
from coatcheck_service.actions.job_lookup import find_retained, job_response, load_job_view
from coatcheck_service.actions.long_poll import wait_until_done
from coatcheck_service.http.authenticated import Authenticated
from coatcheck_service.http.authentication import RequestContext
from coatcheck_service.http.caching import NO_STORE
from coatcheck_service.http.openapi import problem_docs, request_doc, response_doc
from coatcheck_service.http.path_parameters import JobId

router = APIRouter(prefix="/v1/jobs/{job_id}/result", tags=["results"])


class ResultQuery(BaseModel):
    """How to hand a result out."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    link: bool = Field(default=False, description="answer where the bytes are, not with the bytes")


_FULL_HEADERS = ("ETag", "Content-Digest", "Repr-Digest", "Accept-Ranges", "Content-Disposition", "Preference-Applied")
_PARTIAL_HEADERS = (
    "ETag",
    "Content-Range",
    "Repr-Digest",
    "Accept-Ranges",
    "Content-Disposition",
    "Preference-Applied",
)
_DOWNLOAD_RESPONSES = (
    response_doc(
        200, "The bytes, in the media type that their handler named; with `link=true` where they are.", *_FULL_HEADERS
    )
    | response_doc(206, "The bytes that `Range` asked for.", *_PARTIAL_HEADERS)
    | response_doc(202, "The job is not done.", "Retry-After", "ETag", "Preference-Applied", model=JobView)
    | response_doc(303, "The bytes are at `Location`, for some minutes.", "Location", "Preference-Applied")
    | response_doc(304, "The bytes are those the ETag names.", "ETag", "Preference-Applied")
    | problem_docs(NotFound, Gone, NoResult, InvalidRequest, RangeNotSatisfiable)
)
_BYTES = {"schema": {"type": "string", "format": "binary"}}
_LINK = {"$ref": "#/components/schemas/LinkView"}
_JSON = {
    "schema": {
        "anyOf": [_LINK, {}],
        "description": "a result that is JSON, whatever its handler made; with `link=true` a LinkView",
        "$defs": {"LinkView": LinkView.model_json_schema(mode="serialization")},
    }
}
# generated clients go by the first that they know: bytes are right for everything
_DOWNLOAD_RESPONSES[200]["content"] = {"application/octet-stream": _BYTES, "application/json": _JSON, "*/*": _BYTES}
_DOWNLOAD_RESPONSES[206]["content"] = {"application/octet-stream": _BYTES, "*/*": _BYTES}
_REQUEST_DOC = request_doc("Prefer", "If-None-Match", "Range", "If-Range")


@router.get(
    "", operation_id="get_result", response_class=Response, responses=_DOWNLOAD_RESPONSES, openapi_extra=_REQUEST_DOC
)
async def get_result(
    context: Authenticated, request: Request, job_id: JobId, query: Annotated[ResultQuery, Query()]
) -> Response:
    """Collect the result."""
    return await _get_download(context, request, job_id, None, link=query.link)


@router.get(
    "/{name}",
    operation_id="get_artifact",
    response_class=Response,
    responses=_DOWNLOAD_RESPONSES,
    openapi_extra=_REQUEST_DOC,
)
async def get_artifact(
    context: Authenticated,
    request: Request,
    job_id: JobId,
    name: Annotated[str, Path(description="the artifact's name")],
    query: Annotated[ResultQuery, Query()],
) -> Response:
    """Collect an artifact."""
    return await _get_download(context, request, job_id, name, link=query.link)


async def _get_download(
    context: RequestContext, request: Request, job_id: str, name: str | None, *, link: bool
) -> Response:
    waited = await wait_until_done(context, await find_retained(context, job_id), request)
    job = waited.job
    if not job.done:
        return job_response(context, job, await load_job_view(context, job), status=202, headers=waited.headers)
    download = await find_download(context, job, name)
    if link:
        view = await link_view(context, job, download)
        return Response(view.model_dump_json(), media_type="application/json", headers=dict(NO_STORE))
    response = await download_response(context, request, download)
    response.headers.update(waited.headers)
    return response
