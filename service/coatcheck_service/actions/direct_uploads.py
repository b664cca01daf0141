"""Uploads. The client creates an upload here, sends it to S3 itself, whole or in parts, and completes it here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from coatcheck.core.api.models import MultipartTicket, PartsPage, SentPart, UploadRequest, UploadTicket, UploadView
from coatcheck.core.aws import s3, s3_keys
from coatcheck.core.aws.call import Params
from coatcheck.core.aws.dynamodb import upload_items
from coatcheck.core.aws.dynamodb.keys import JobKey
from coatcheck.core.aws.dynamodb.upload_items import UploadRecord
from coatcheck.core.clock import DAY, SECOND, rfc3339
from coatcheck.core.errors import FieldError, NotFound, UploadIncomplete, UploadQuotaExceeded
from coatcheck.core.ids import is_id, make_id
from coatcheck.core.part_plan import use_multipart
from coatcheck.core.sanitize import quoted
from coatcheck_service.actions.job_inputs import UPLOAD_TTL
from coatcheck_service.actions.multipart_uploads import (
    MultipartUpload,
    PartsByNumber,
    check_open_uploads,
    initiate_upload,
)
from coatcheck_service.actions.tenant_limits import charge_upload, limits_of
from coatcheck_service.http.authentication import RequestContext
from coatcheck_service.http.field_errors import invalid_request

GB = 1024**3
"""Bytes in a GB, as the deployment's settings count them."""


async def create(context: RequestContext, request: UploadRequest) -> UploadRecord:
    """Create an upload. Raises InvalidRequest, TooManyUploads, UploadQuotaExceeded and StorageQuotaExceeded."""
    dependencies = context.dependencies
    upload = UploadRecord(
        tenant=context.tenant,
        id=make_id("upl", dependencies.entropy(16)),
        filename=request.filename,
        content_type=request.content_type,
        size=request.size,
        sha256=bytes.fromhex(request.sha256) if request.sha256 else None,
        expires_at=dependencies.clock() + UPLOAD_TTL,
    )
    is_multipart = use_multipart(request.size, requested=request.multipart)
    if is_multipart:
        await check_open_uploads(context)
    await _charge_quota(context, request.size)
    if is_multipart:
        upload = replace(upload, multipart=await initiate_upload(context, upload))
    await dependencies.transport.send(upload_items.put_upload(dependencies.table, upload))
    return upload


async def _charge_quota(context: RequestContext, size: int) -> None:
    """Count bytes towards the tenant's quota of this day. They stay counted if a later step fails: nothing is
    refunded.
    """
    dependencies, limits = context.dependencies, await limits_of(context)
    now, limit = dependencies.clock(), limits.upload_bytes_per_day
    most = dependencies.settings.upload_gb_per_day * GB if limit is None else limit
    if size > most:
        raise invalid_request([FieldError("/size", f"is more than the daily upload quota of {most} bytes")])
    await charge_upload(context, limits, size)
    used = await dependencies.transport.send(
        upload_items.count_upload(dependencies.table, context.tenant, size, now=now, most=most)
    )
    if used is not None:
        detail = f"This upload has {size} bytes, and {used} of {most} bytes are used since midnight (UTC)."
        raise UploadQuotaExceeded(detail, retry_after=-(-(DAY - now % DAY) // SECOND))


async def find(context: RequestContext, upload_id: str) -> UploadRecord:
    """Return the caller's upload. Raises NotFound when it does not exist or has expired."""
    dependencies = context.dependencies
    if is_id("upl", upload_id):
        upload = await dependencies.transport.send(
            upload_items.get_upload(dependencies.table, JobKey(context.tenant, upload_id))
        )
        if upload is not None and dependencies.clock() < upload.expires_at:
            return upload
    raise NotFound(f"There is no upload {quoted(upload_id)} (it may have expired).")


async def ticket(
    context: RequestContext, upload: UploadRecord, uploaded_parts: PartsByNumber | None = None
) -> UploadTicket | MultipartTicket:
    """Return how to send an upload, or those of its parts that are missing."""
    if upload.multipart is None:
        return await _single_ticket(context, upload)
    page = await MultipartUpload.of(context, upload).page(uploaded_parts or {})
    return MultipartTicket(
        id=upload.id,
        part_size=upload.multipart.part_size,
        parts=page.parts,
        next_parts=page.next_parts,
        expires_at=page.expires_at,
    )


async def view_upload(context: RequestContext, upload: UploadRecord) -> UploadView:
    """Return the state of the upload, and how to send what is missing. Raises NotFound when its parts are gone."""
    uploaded_parts = None if upload.multipart is None else await MultipartUpload.of(context, upload).uploaded_parts()
    if uploaded_parts is None and await _is_stored(context, upload):
        return _view(upload, None)
    if uploaded_parts is None and upload.multipart is not None:
        raise _aborted()
    return _view(upload, await ticket(context, upload, uploaded_parts))


async def missing_parts(context: RequestContext, upload: UploadRecord, after: int) -> PartsPage:
    """Return the first parts after number `after` that have not arrived.

    Raises NotMultipart, and NotFound as `view_upload` does.
    """
    multipart_upload = MultipartUpload.of(context, upload)
    uploaded_parts = await multipart_upload.uploaded_parts(after)
    if uploaded_parts is not None:
        return await multipart_upload.page(uploaded_parts, after)
    if not await _is_stored(context, upload):
        raise _aborted()
    return await multipart_upload.page({}, after=multipart_upload.parts.count)


async def complete(
    context: RequestContext, upload: UploadRecord, client_parts: Sequence[SentPart] | None
) -> UploadView:
    """Make one object of the parts. A repeated call succeeds too.

    `client_parts` is the client's own list of the parts, if it has sent one. Raises NotMultipart,
    UploadIncomplete, and NotFound as `view_upload` does.
    """
    multipart_upload = MultipartUpload.of(context, upload)
    uploaded_parts = await multipart_upload.uploaded_parts()
    if uploaded_parts is not None and await multipart_upload.complete(uploaded_parts, client_parts):
        return _view(upload, None)
    if await _is_stored(context, upload):
        return _view(upload, None)
    raise (
        _aborted()
        if uploaded_parts is None
        else UploadIncomplete("A part was sent again during this call: complete the upload again.")
    )


async def _single_ticket(context: RequestContext, upload: UploadRecord) -> UploadTicket:
    link = s3.presign_upload(
        context.dependencies.bucket,
        s3_keys.upload_key(upload.tenant, upload.id),
        content_type=upload.content_type,
        size=upload.size,
        sha256=upload.sha256,
    )
    now = context.dependencies.clock()
    signed = await context.dependencies.transport.presign(link)
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


async def _is_stored(context: RequestContext, upload: UploadRecord) -> bool:
    key = s3_keys.upload_key(upload.tenant, upload.id)
    s3_head = await context.dependencies.transport.send(s3.head(context.dependencies.bucket, key))
    return s3_head is not None and s3_head.size == upload.size


def _aborted() -> NotFound:
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
