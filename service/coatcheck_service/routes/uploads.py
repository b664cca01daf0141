"""Uploads: inputs too large for a request."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from coatcheck.core.api.models import (
    CompleteRequest,
    MultipartTicket,
    PartsPage,
    UploadRequest,
    UploadTicket,
    UploadView,
)
from coatcheck.core.errors import (
    InvalidRequest,
    MalformedJson,
    NotFound,
    NotMultipart,
    PayloadTooLarge,
    StorageQuotaExceeded,
    TooManyUploads,
    UnsupportedMediaType,
    UploadIncomplete,
    UploadQuotaExceeded,
)
from coatcheck.core.part_plan import MAX_PARTS
from coatcheck_service.actions.direct_uploads import complete, create, find, missing_parts, ticket, view_upload
from coatcheck_service.http.authenticated import Authenticated
from coatcheck_service.http.body import read_json, read_json_if_any
from coatcheck_service.http.openapi import problem_docs, request_doc, response_doc
from coatcheck_service.http.path_parameters import UploadId

router = APIRouter(prefix="/v1/uploads", tags=["uploads"])

_BODY_ERRORS = (InvalidRequest, MalformedJson, PayloadTooLarge, UnsupportedMediaType)


class PartsQuery(BaseModel):
    """Which parts to list."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    after: int = Field(default=0, ge=0, le=MAX_PARTS, description="only parts with numbers above this one")


@router.post(
    "",
    operation_id="create_upload",
    status_code=201,
    responses=response_doc(201, "How to send the bytes, whole or in parts.", model=UploadTicket | MultipartTicket)
    | problem_docs(*_BODY_ERRORS, TooManyUploads, UploadQuotaExceeded, StorageQuotaExceeded),
    openapi_extra=request_doc(body=UploadRequest),
)
async def create_upload(context: Authenticated, request: Request) -> Response:
    """Announce a file. Send its bytes as the answer says, then name it in an input as `{"$upload": id}`, for a day."""
    received = await read_json(context, request, UploadRequest)
    return _json_response(await ticket(context, await create(context, received.value)), 201)


@router.get(
    "/{upload_id}",
    operation_id="get_upload",
    responses=response_doc(200, "The upload.", model=UploadView) | problem_docs(NotFound),
)
async def get_upload(context: Authenticated, upload_id: UploadId) -> Response:
    """Look at an upload: whether it is complete and, with fresh URLs, what is still to be sent."""
    return _json_response(await view_upload(context, await find(context, upload_id)))


@router.get(
    "/{upload_id}/parts",
    operation_id="list_upload_parts",
    responses=response_doc(200, "The next parts.", model=PartsPage)
    | problem_docs(NotFound, NotMultipart, InvalidRequest),
)
async def get_parts(context: Authenticated, upload_id: UploadId, query: Annotated[PartsQuery, Query()]) -> Response:
    """List parts that have not arrived, with fresh URLs."""
    return _json_response(await missing_parts(context, await find(context, upload_id), query.after))


@router.post(
    "/{upload_id}/complete",
    operation_id="complete_upload",
    responses=response_doc(200, "The upload is whole.", model=UploadView)
    | problem_docs(NotFound, NotMultipart, UploadIncomplete, *_BODY_ERRORS),
    openapi_extra=request_doc(body=CompleteRequest, required=False),
)
async def complete_upload(context: Authenticated, request: Request, upload_id: UploadId) -> Response:
    """Make one file of the parts that were sent."""
    received = await read_json_if_any(context, request, CompleteRequest)
    return _json_response(await complete(context, await find(context, upload_id), received.value.parts))


def _json_response(view: UploadTicket | MultipartTicket | PartsPage | UploadView, status: int = 200) -> Response:
    return Response(view.model_dump_json(), status, media_type="application/json")
