"""Uploads: announced here, sent to S3 by the client itself, whole or in parts, and completed here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from coatcheck import blobs
from coatcheck.calls import Params
from coatcheck.clock import DAY, SECOND, rfc3339
from coatcheck.errors import Flaw, NotFound, UploadIncomplete, UploadQuotaExceeded
from coatcheck.ids import is_id, make_id
from coatcheck.parts import in_parts
from coatcheck.table import uploads
from coatcheck.table.keys import JobKey
from coatcheck.table.uploads import UploadRecord
from coatcheck.wire import MultipartTicket, PartsPage, SentPart, UploadRequest, UploadTicket, UploadView
from service.caller import Caller
from service.flaws import refused
from service.in_parts import Arrived, InParts, begin, check_open
from service.inputs import UPLOAD_LIFE

GB = 1024**3
"""Bytes of a GB, as the deployment's settings count them."""


async def announce(caller: Caller, asked: UploadRequest) -> UploadRecord:
    """Make an upload. Raises InvalidRequest, TooManyUploads and UploadQuotaExceeded."""
    tools = caller.tools
    upload = UploadRecord(
        tenant=caller.tenant,
        id=make_id("upl", tools.entropy(16)),
        filename=asked.filename,
        content_type=asked.content_type,
        size=asked.size,
        sha256=bytes.fromhex(asked.sha256) if asked.sha256 else None,
        expires_at=tools.clock() + UPLOAD_LIFE,
    )
    parted = in_parts(asked.size, asked=asked.multipart)
    if parted:
        await check_open(caller)
    await _count(caller, asked.size)
    if parted:
        upload = replace(upload, multipart=await begin(caller, upload))
    await tools.aws.send(uploads.put_upload(tools.table, upload))
    return upload


async def _count(caller: Caller, size: int) -> None:
    """Put bytes on the tenant's account of this day. What then fails stays there: nothing has to be given back."""
    tools = caller.tools
    now, most = tools.clock(), tools.deployment.upload_gb_per_day * GB
    if size > most:
        raise refused([Flaw("/size", f"is more than the {most} bytes that a tenant may announce in a day here")])
    before = await tools.aws.send(uploads.count_upload(tools.table, caller.tenant, size, now=now, most=most))
    if before is not None:
        said = f"{before} of {most} bytes have been announced since midnight (UTC), and these are {size}."
        raise UploadQuotaExceeded(said, retry_after=-(-(DAY - now % DAY) // SECOND))


async def find(caller: Caller, upload_id: str) -> UploadRecord:
    """The caller's upload. Raises NotFound when there is none, or it has expired."""
    tools = caller.tools
    if is_id("upl", upload_id):
        upload = await tools.aws.send(uploads.get_upload(tools.table, JobKey(caller.tenant, upload_id)))
        if upload is not None and tools.clock() < upload.expires_at:
            return upload
    raise NotFound("There is no upload of this id, or it has expired.")


async def ticket(
    caller: Caller, upload: UploadRecord, arrived: Arrived | None = None
) -> UploadTicket | MultipartTicket:
    """How to send an upload, or what is missing of its parts."""
    if upload.multipart is None:
        return await _single(caller, upload)
    page = await InParts.of(caller, upload).page(arrived or {})
    return MultipartTicket(
        id=upload.id,
        part_size=upload.multipart.part_size,
        parts=page.parts,
        next_parts=page.next_parts,
        expires_at=page.expires_at,
    )


async def look(caller: Caller, upload: UploadRecord) -> UploadView:
    """The upload as it is, with how to send what is missing. Raises NotFound when its parts were thrown away."""
    arrived = None if upload.multipart is None else await InParts.of(caller, upload).arrived()
    if arrived is None and await _is_stored(caller, upload):
        return _view(upload, None)
    if arrived is None and upload.multipart is not None:
        raise _thrown_away()
    return _view(upload, await ticket(caller, upload, arrived))


async def missing_parts(caller: Caller, upload: UploadRecord, after: int) -> PartsPage:
    """The first parts behind number `after` that have not arrived. Raises NotMultipart, and NotFound as `look` does."""
    sent = InParts.of(caller, upload)
    arrived = await sent.arrived(after)
    if arrived is not None:
        return await sent.page(arrived, after)
    if not await _is_stored(caller, upload):
        raise _thrown_away()
    return await sent.page({}, after=sent.parts.count)


async def complete(caller: Caller, upload: UploadRecord, told: Sequence[SentPart] | None) -> UploadView:
    """Make one object of the parts; again is fine. Raises NotMultipart, UploadIncomplete, and NotFound as `look` does.

    `told` is the client's own list of the parts, if it has sent one.
    """
    sent = InParts.of(caller, upload)
    arrived = await sent.arrived()
    if arrived is not None and await sent.complete(arrived, told):
        return _view(upload, None)
    if await _is_stored(caller, upload):
        return _view(upload, None)
    raise _thrown_away() if arrived is None else UploadIncomplete("A part was sent anew in this moment.")


async def _single(caller: Caller, upload: UploadRecord) -> UploadTicket:
    link = blobs.upload_link(
        caller.tools.bucket,
        blobs.upload_key(upload.tenant, upload.id),
        content_type=upload.content_type,
        size=upload.size,
        sha256=upload.sha256,
    )
    now = caller.tools.clock()
    signed = await caller.tools.aws.presign(link)
    return UploadTicket(
        id=upload.id,
        method="PUT",
        url=signed.url,
        headers=_signed_headers(link.params),
        expires_at=rfc3339(now + signed.seconds * SECOND),
    )


_HEADERS = {
    "ContentType": "content-type",
    "ContentLength": "content-length",
    "ChecksumSHA256": "x-amz-checksum-sha256",
    "IfNoneMatch": "if-none-match",
}


def _signed_headers(params: Params) -> dict[str, str]:
    return {header: str(params[name]) for name, header in _HEADERS.items() if name in params}


async def _is_stored(caller: Caller, upload: UploadRecord) -> bool:
    key = blobs.upload_key(upload.tenant, upload.id)
    stored = await caller.tools.aws.send(blobs.head(caller.tools.bucket, key))
    return stored is not None and stored.size == upload.size


def _thrown_away() -> NotFound:
    return NotFound("The parts of this upload are no longer kept.")


def _view(upload: UploadRecord, to_send: UploadTicket | MultipartTicket | None) -> UploadView:
    return UploadView(
        id=upload.id,
        filename=upload.filename,
        content_type=upload.content_type,
        size=upload.size,
        sha256=upload.sha256.hex() if upload.sha256 else None,
        complete=to_send is None,
        expires_at=rfc3339(upload.expires_at),
        ticket=to_send,
    )
