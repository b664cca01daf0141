"""Uploads: inputs too large for a request."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from coatcheck.errors import (
    InvalidRequest,
    MalformedJson,
    NotFound,
    NotMultipart,
    PayloadTooLarge,
    TooManyUploads,
    UnsupportedMediaType,
    UploadIncomplete,
    UploadQuotaExceeded,
)
from coatcheck.parts import MOST_PARTS
from coatcheck.wire import CompleteRequest, MultipartTicket, PartsPage, UploadRequest, UploadTicket, UploadView
from service.body import read_json, read_json_if_any
from service.caller import Authenticated
from service.documented import UploadId, answers, guarded, takes
from service.uploads import announce, complete, find, look, missing_parts, ticket

router = APIRouter(prefix="/v1/uploads", tags=["uploads"])

_BODY = (InvalidRequest, MalformedJson, PayloadTooLarge, UnsupportedMediaType)


class PartsQuery(BaseModel):
    """Which parts to list."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    after: int = Field(default=0, ge=0, le=MOST_PARTS, description="only parts with numbers above this one")


@router.post(
    "",
    operation_id="create_upload",
    status_code=201,
    responses=answers(201, "How to send the bytes, whole or in parts.", model=UploadTicket | MultipartTicket)
    | guarded(*_BODY, TooManyUploads, UploadQuotaExceeded),
    openapi_extra=takes(body=UploadRequest),
)
async def create_upload(caller: Authenticated, request: Request) -> Response:
    """Announce a file. Send its bytes as the answer says, then name it in an input as `{"$upload": id}`, for a day."""
    received = await read_json(caller, request, UploadRequest)
    return _shown(await ticket(caller, await announce(caller, received.asked)), 201)


@router.get(
    "/{upload_id}",
    operation_id="get_upload",
    responses=answers(200, "The upload.", model=UploadView) | guarded(NotFound),
)
async def get_upload(caller: Authenticated, upload_id: UploadId) -> Response:
    """Look at an upload: whether it is complete and, with fresh URLs, what is still to be sent."""
    return _shown(await look(caller, await find(caller, upload_id)))


@router.get(
    "/{upload_id}/parts",
    operation_id="list_upload_parts",
    responses=answers(200, "The next parts.", model=PartsPage) | guarded(NotFound, NotMultipart, InvalidRequest),
)
async def get_parts(caller: Authenticated, upload_id: UploadId, query: Annotated[PartsQuery, Query()]) -> Response:
    """List parts that have not arrived, with fresh URLs."""
    return _shown(await missing_parts(caller, await find(caller, upload_id), query.after))


@router.post(
    "/{upload_id}/complete",
    operation_id="complete_upload",
    responses=answers(200, "The upload is whole.", model=UploadView)
    | guarded(NotFound, NotMultipart, UploadIncomplete, *_BODY),
    openapi_extra=takes(body=CompleteRequest, required=False),
)
async def complete_upload(caller: Authenticated, request: Request, upload_id: UploadId) -> Response:
    """Make one file of the parts that were sent."""
    received = await read_json_if_any(caller, request, CompleteRequest)
    return _shown(await complete(caller, await find(caller, upload_id), received.asked.parts))


def _shown(shown: UploadTicket | MultipartTicket | PartsPage | UploadView, status: int = 200) -> Response:
    return Response(shown.model_dump_json(), status, media_type="application/json")
