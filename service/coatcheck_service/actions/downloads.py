"""Returns results and artifacts: the bytes themselves if they fit in a response, otherwise a link."""

from __future__ import annotations

import base64
from dataclasses import dataclass

from fastapi import Request, Response
from fastapi.responses import StreamingResponse

from coatcheck.core import sanitize
from coatcheck.core.api.models import LinkView
from coatcheck.core.api.views import job_url
from coatcheck.core.aws import s3, s3_keys
from coatcheck.core.aws.call import PresignedUrl
from coatcheck.core.clock import SECOND, rfc3339
from coatcheck.core.errors import Gone, NoResult, NotFound, RangeNotSatisfiable
from coatcheck.core.job import Blob, Job
from coatcheck_service.actions.job_lookup import load_artifacts
from coatcheck_service.http import etags
from coatcheck_service.http.authentication import RequestContext
from coatcheck_service.http.problems import problem_response
from coatcheck_service.http.ranges import ByteRange, requested_range
from coatcheck_service.s3_bodies import chunks

CHUNK_SIZE = 256 * 1024


@dataclass(frozen=True, slots=True)
class Download:
    """A file to return: its key in the bucket (if its bytes are not in the row), and its URL at the service."""

    blob: Blob
    key: str
    url: str
    filename: str

    @property
    def content_type(self) -> str:
        """The content type that the handler named, or the one for unknown bytes."""
        return sanitize.media_type(self.blob.content_type)


async def find_download(context: RequestContext, job: Job, name: str | None) -> Download:
    """Find the result of a job that is done, or its artifact `name`. Raises NoResult, or NotFound for the artifact."""
    url = f"{job_url(job.id, context.base_url)}/result"
    if name is not None:
        for made in await load_artifacts(context.dependencies, job):
            if made.name == name:
                return Download(made.blob, s3_keys.artifact_key(job, name, made.attempt), f"{url}/{name}", name)
        raise NotFound(f"{job.id} has no artifact of this name: see `artifacts` in the job.")
    if job.result is None:
        reason = f" ({job.error.code})" if job.error else ""
        raise NoResult(f"{job.id} ended as {job.status}{reason}: it has no result.")
    extension = ".json" if job.result.content_type == "application/json" else ""
    filename = sanitize.filename(job.result.filename or "") or f"{job.id}{extension}"
    return Download(job.result, s3_keys.result_key(job), url, filename)


async def download_response(context: RequestContext, request: Request, download: Download) -> Response:
    """Answer 200 with the bytes, 206 with the requested range, 304 when the client has them, or 303 to a link.

    Answers 416 when no byte is within the requested range. Raises Gone when the bucket no longer has the object.
    """
    response = _headers_only(download)
    blob, etag = download.blob, response.headers["etag"]
    if etags.matches_etag(request, etag):
        return etags.not_modified(response)
    if blob.inline is None and blob.size > context.front_door.inline_limit:
        signed = await _presign(context, download, head=request.state.head)
        return Response(status_code=303, headers={"Location": signed.url})
    if request.state.head:
        return response
    try:
        byte_range = requested_range(request, etag, blob.size)
    except RangeNotSatisfiable as error:
        return problem_response(request, error, {"Content-Range": f"bytes */{blob.size}"})
    if byte_range is not None:
        _make_partial(response, byte_range)
    if blob.inline is not None:
        content = blob.inline if byte_range is None else blob.inline[byte_range.first : byte_range.last + 1]
        return Response(content, response.status_code, headers=dict(response.headers))
    return await _stream(context, download, byte_range, response)


async def link_view(context: RequestContext, job: Job, download: Download) -> LinkView:
    """Return where the bytes are: a presigned URL for those in S3, the service's own URL for those in the row."""
    if download.blob.inline is None:
        now = context.dependencies.clock()
        signed = await _presign(context, download, head=False)
        url, expires_at = signed.url, now + signed.seconds * SECOND
    else:
        url, expires_at = download.url, job.expires_at or context.dependencies.clock()
    return LinkView(
        url=url,
        expires_at=rfc3339(expires_at),
        size=download.blob.size,
        sha256=download.blob.sha256.hex(),
        content_type=download.content_type,
    )


def _headers_only(download: Download) -> Response:
    """Build the answer to HEAD: every header, no bytes.

    The security policy keeps a handler's bytes from running as a page of this origin. Both digests cover all
    the bytes (RFC 9530).
    """
    blob = download.blob
    digest = f"sha-256=:{base64.b64encode(blob.sha256).decode()}:"
    response = Response(
        headers={
            "Content-Type": download.content_type,
            "Content-Disposition": s3.attachment(download.filename),
            "Content-Digest": digest,
            "Repr-Digest": digest,
            "Accept-Ranges": "bytes",
            "ETag": f'"{blob.sha256.hex()}"',
            "Content-Security-Policy": "sandbox; default-src 'none'",
        }
    )
    response.headers["Content-Length"] = str(blob.size)
    return response


def _make_partial(response: Response, byte_range: ByteRange) -> None:
    """Turn the response into a 206.

    `Content-Digest` describes the content that is sent (RFC 9530, 2), and nobody has hashed the range: remove it.
    """
    response.status_code = 206
    del response.headers["Content-Digest"]
    response.headers["Content-Range"] = byte_range.content_range
    response.headers["Content-Length"] = str(byte_range.length)


async def _presign(context: RequestContext, download: Download, *, head: bool) -> PresignedUrl:
    disposition = s3.attachment(download.filename)
    link = s3.presign_download(
        context.dependencies.bucket,
        download.key,
        content_type=download.content_type,
        disposition=disposition,
        head=head,
    )
    return await context.dependencies.transport.presign(link)


async def _stream(
    context: RequestContext, download: Download, byte_range: ByteRange | None, response: Response
) -> Response:
    range_params = {} if byte_range is None else {"first": byte_range.first, "last": byte_range.last}
    s3_object = await context.dependencies.transport.send(
        s3.get(context.dependencies.bucket, download.key, **range_params)
    )
    if s3_object is None:
        raise Gone("The stored file is no longer kept.")
    body = chunks(s3_object, CHUNK_SIZE)
    status, headers = response.status_code, dict(response.headers)
    if context.front_door.buffers:
        return Response(b"".join([chunk async for chunk in body]), status, headers=headers)
    return StreamingResponse(body, status, headers=headers)
