"""Uploads: inputs too large for a request."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response

from coatcheck import blobs
from coatcheck.calls import Params
from coatcheck.clock import SECOND, rfc3339
from coatcheck.errors import InvalidRequest, MalformedJson, PayloadTooLarge, UnsupportedMediaType
from coatcheck.ids import make_id
from coatcheck.table import items
from coatcheck.table.items import UploadRecord
from coatcheck.wire import UploadRequest, UploadTicket
from service.body import read_json
from service.caller import Authenticated
from service.documented import answers, guarded, takes
from service.inputs import UPLOAD_LIFE

router = APIRouter(prefix="/v1/uploads", tags=["uploads"])


@router.post(
    "",
    operation_id="create_upload",
    status_code=201,
    responses=answers(201, "How to send the bytes.", model=UploadTicket)
    | guarded(InvalidRequest, MalformedJson, PayloadTooLarge, UnsupportedMediaType),
    openapi_extra=takes(body=UploadRequest),
)
async def create_upload(caller: Authenticated, request: Request) -> Response:
    """Announce a file. Send its bytes as the answer says, then name it in an input as `{"$upload": id}`, for a day."""
    tools, now = caller.tools, caller.tools.clock()
    asked = await read_json(request, UploadRequest, limit=tools.front_door.max_body)
    upload = UploadRecord(
        tenant=caller.tenant,
        id=make_id("upl", tools.entropy(16)),
        filename=asked.filename,
        content_type=asked.content_type,
        size=asked.size,
        sha256=bytes.fromhex(asked.sha256) if asked.sha256 else None,
        expires_at=now + UPLOAD_LIFE,
    )
    key = blobs.upload_key(upload.tenant, upload.id)
    link = blobs.upload_link(
        tools.bucket, key, content_type=upload.content_type, size=upload.size, sha256=upload.sha256
    )
    url = await tools.aws.presign(link)
    await tools.aws.send(items.put_upload(tools.table, upload))
    ticket = UploadTicket(
        id=upload.id,
        method="PUT",
        url=url,
        headers=_signed_headers(link.params),
        expires_at=rfc3339(now + blobs.UPLOAD_LINK_SECONDS * SECOND),
    )
    return Response(ticket.model_dump_json(), 201, headers={"Cache-Control": "no-store"}, media_type="application/json")


_HEADERS = {"ContentType": "content-type", "ContentLength": "content-length", "ChecksumSHA256": "x-amz-checksum-sha256"}


def _signed_headers(params: Params) -> dict[str, str]:
    return {header: str(params[name]) for name, header in _HEADERS.items() if name in params}
