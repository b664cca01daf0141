"""Handing out results and artifacts: the bytes themselves where the front door carries them, a link where not."""

from __future__ import annotations

import base64
from dataclasses import dataclass

from fastapi import Request, Response
from fastapi.responses import StreamingResponse

from coatcheck import blobs, labels
from coatcheck.calls import Signed
from coatcheck.clock import SECOND, rfc3339
from coatcheck.errors import Gone, NoResult, NotFound, RangeNotSatisfiable
from coatcheck.record import Blob, Job
from coatcheck.views import job_url
from coatcheck.wire import LinkView
from service import etags
from service.aws import chunks
from service.caller import Caller
from service.jobs import artifacts_of
from service.problems import problem
from service.ranges import Piece, piece_asked

CHUNK = 256 * 1024


@dataclass(frozen=True, slots=True)
class Download:
    """What is to be handed out: where it lies in the bucket (if not in the row), and the service's address of it."""

    blob: Blob
    key: str
    address: str
    filename: str

    @property
    def content_type(self) -> str:
        """The content type the handler named, or the one of bytes of which nothing is known."""
        return labels.media_type(self.blob.content_type)


async def download_of(caller: Caller, job: Job, name: str | None) -> Download:
    """The result of a job that is done, or its artifact `name`. Raises NoResult, or NotFound for the artifact."""
    address = f"{job_url(job.id, caller.base_url)}/result"
    if name is not None:
        for blob in await artifacts_of(caller.tools, job):
            if blob.filename == name:
                return Download(blob, blobs.artifact_key(job, name), f"{address}/{name}", name)
        raise NotFound("The job has no artifact of this name.")
    if job.result is None:
        why = f" ({job.error.code})" if job.error else ""
        raise NoResult(f"The job is {job.status}{why}: there is no result to come.")
    extension = ".json" if job.result.content_type == "application/json" else ""
    filename = labels.filename(job.result.filename or "") or f"{job.id}{extension}"
    return Download(job.result, blobs.result_key(job), address, filename)


async def hand_out(caller: Caller, request: Request, download: Download) -> Response:
    """200 with the bytes or 206 with those asked for, 304 when the client has them, or 303 to where they are.

    416 where none of them was asked for. Raises Gone when the bucket has lost them.
    """
    response = _empty(download)
    blob, tag = download.blob, response.headers["etag"]
    if etags.is_known(request, tag):
        return etags.not_modified(response)
    if blob.inline is None and blob.size > caller.tools.front_door.inline_limit:
        signed = await _presigned(caller, download, head=request.state.head)
        return Response(status_code=303, headers={"Location": signed.url})
    if request.state.head:
        return response
    try:
        piece = piece_asked(request, tag, blob.size)
    except RangeNotSatisfiable as error:
        return problem(request, error, {"Content-Range": f"bytes */{blob.size}"})
    if piece is not None:
        _narrow(response, piece)
    if blob.inline is not None:
        content = blob.inline if piece is None else blob.inline[piece.first : piece.last + 1]
        return Response(content, response.status_code, headers=dict(response.headers))
    return await _streamed(caller, download, piece, response)


async def link_to(caller: Caller, job: Job, download: Download) -> LinkView:
    """Where the bytes are: a presigned URL for those in S3, the service's own address for those in the row."""
    if download.blob.inline is None:
        now = caller.tools.clock()
        signed = await _presigned(caller, download, head=False)
        url, expires_at = signed.url, now + signed.seconds * SECOND
    else:
        url, expires_at = download.address, job.expires_at or caller.tools.clock()
    return LinkView(
        url=url,
        expires_at=rfc3339(expires_at),
        size=download.blob.size,
        sha256=download.blob.sha256.hex(),
        content_type=download.content_type,
    )


def _empty(download: Download) -> Response:
    """The answer to HEAD: every header, no bytes. A handler's bytes are never to run as a page of this origin.

    Both digests are of all the bytes (RFC 9530).
    """
    blob = download.blob
    digest = f"sha-256=:{base64.b64encode(blob.sha256).decode()}:"
    response = Response(
        headers={
            "Content-Type": download.content_type,
            "Content-Disposition": blobs.attachment(download.filename),
            "Content-Digest": digest,
            "Repr-Digest": digest,
            "Accept-Ranges": "bytes",
            "ETag": f'"{blob.sha256.hex()}"',
            "Content-Security-Policy": "sandbox; default-src 'none'",
        }
    )
    response.headers["Content-Length"] = str(blob.size)
    return response


def _narrow(response: Response, piece: Piece) -> None:
    """Make 206 of it. What `Content-Digest` tells of is the content sent, which nobody has hashed (RFC 9530, 2)."""
    response.status_code = 206
    del response.headers["Content-Digest"]
    response.headers["Content-Range"] = piece.content_range
    response.headers["Content-Length"] = str(piece.length)


async def _presigned(caller: Caller, download: Download, *, head: bool) -> Signed:
    disposition = blobs.attachment(download.filename)
    link = blobs.link(
        caller.tools.bucket, download.key, content_type=download.content_type, disposition=disposition, head=head
    )
    return await caller.tools.aws.presign(link)


async def _streamed(caller: Caller, download: Download, piece: Piece | None, response: Response) -> Response:
    asked = {} if piece is None else {"first": piece.first, "last": piece.last}
    stored = await caller.tools.aws.send(blobs.get(caller.tools.bucket, download.key, **asked))
    if stored is None:
        raise Gone("The bytes are no longer kept.")
    bytes_in_s3 = chunks(stored, CHUNK)
    status, headers = response.status_code, dict(response.headers)
    if caller.tools.front_door.buffers:
        return Response(b"".join([chunk async for chunk in bytes_in_s3]), status, headers=headers)
    return StreamingResponse(bytes_in_s3, status, headers=headers)
