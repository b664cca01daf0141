"""Entity tags: whether the client already has what it requests (RFC 9110, 13.1.2)."""

from __future__ import annotations

import re

from starlette.requests import Request
from starlette.responses import Response

from coatcheck.core.job import Job

_TAG = re.compile(r'(?:W/)?("[^"]*")')


def job_etag(job: Job) -> str:
    """Return the ETag of a job. It changes with every change of the job, and differs for a later job of the same id."""
    return f'"{job.created_at:x}-{job.version}"'


def matches_etag(request: Request, etag: str) -> bool:
    """Whether `If-None-Match` names `etag`."""
    values = ",".join(request.headers.getlist("if-none-match"))
    return values.strip() == "*" or etag in _TAG.findall(values)


def not_modified(response: Response) -> Response:
    """Build a 304 in place of `response`, with its headers except those of the body."""
    kept_headers = {name: value for name, value in response.headers.items() if not name.startswith("content-")}
    return Response(status_code=304, headers=kept_headers)
