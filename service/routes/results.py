"""Results and artifacts of jobs."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from coatcheck.errors import Gone, InvalidRequest, NoResult, NotFound, RangeNotSatisfiable
from coatcheck.wire import JobView, LinkView
from service.caching import UNKEPT
from service.caller import Authenticated, Caller
from service.documented import JobId, answers, guarded, takes
from service.downloads import download_of, hand_out, link_to
from service.jobs import answer, find_kept, view_of
from service.prefer import held

router = APIRouter(prefix="/v1/jobs/{job_id}/result", tags=["results"])


class ResultQuery(BaseModel):
    """How to hand a result out."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    link: bool = Field(default=False, description="answer where the bytes are, not with the bytes")


_WHOLE = ("ETag", "Content-Digest", "Repr-Digest", "Accept-Ranges", "Content-Disposition", "Preference-Applied")
_PIECE = ("ETag", "Content-Range", "Repr-Digest", "Accept-Ranges", "Content-Disposition", "Preference-Applied")
_HANDED_OUT = (
    answers(200, "The bytes, in the media type that their handler named; with `link=true` where they are.", *_WHOLE)
    | answers(206, "The bytes that `Range` asked for.", *_PIECE)
    | answers(202, "The job is not done.", "Retry-After", "ETag", "Preference-Applied", model=JobView)
    | answers(303, "The bytes are at `Location`, for some minutes.", "Location", "Preference-Applied")
    | answers(304, "The bytes are those the ETag names.", "ETag", "Preference-Applied")
    | guarded(NotFound, Gone, NoResult, InvalidRequest, RangeNotSatisfiable)
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
_HANDED_OUT[200]["content"] = {"application/octet-stream": _BYTES, "application/json": _JSON, "*/*": _BYTES}
_HANDED_OUT[206]["content"] = {"application/octet-stream": _BYTES, "*/*": _BYTES}
_ASKED = takes("Prefer", "If-None-Match", "Range", "If-Range")


@router.get("", operation_id="get_result", response_class=Response, responses=_HANDED_OUT, openapi_extra=_ASKED)
async def get_result(
    caller: Authenticated, request: Request, job_id: JobId, query: Annotated[ResultQuery, Query()]
) -> Response:
    """Collect the result."""
    return await _handed_out(caller, request, job_id, None, link=query.link)


@router.get(
    "/{name}",
    operation_id="get_artifact",
    response_class=Response,
    responses=_HANDED_OUT,
    openapi_extra=_ASKED,
)
async def get_artifact(
    caller: Authenticated,
    request: Request,
    job_id: JobId,
    name: Annotated[str, Path(description="the artifact's name")],
    query: Annotated[ResultQuery, Query()],
) -> Response:
    """Collect an artifact."""
    return await _handed_out(caller, request, job_id, name, link=query.link)


async def _handed_out(caller: Caller, request: Request, job_id: str, name: str | None, *, link: bool) -> Response:
    waited = await held(caller, await find_kept(caller, job_id), request)
    job = waited.job
    if not job.done:
        return answer(caller, job, await view_of(caller, job), status=202, headers=waited.headers)
    download = await download_of(caller, job, name)
    if link:
        found = await link_to(caller, job, download)
        return Response(found.model_dump_json(), media_type="application/json", headers=dict(UNKEPT))
    response = await hand_out(caller, request, download)
    response.headers.update(waited.headers)
    return response
