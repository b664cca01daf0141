"""Every call of the HTTP contract as a value: what is sent, and how its answer is read. Pure; a transport sends it."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Generic, TypeVar
from urllib.parse import quote

from coatcheck.client import responses
from coatcheck.client.exceptions import (
    CoatcheckError,
    ConnectionFailed,
    InvalidArgumentError,
    ProblemError,
    TransferFailed,
)
from coatcheck.client.job import Job
from coatcheck.client.responses import ListPage, MultipartTicket, PartsPage, Response, UploadStatus, UploadTicket
from coatcheck.core.ids import IDEMPOTENCY_KEY

T = TypeVar("T")

RETRYABLE_STATUSES = frozenset({429, 502, 503, 504})
MAX_RETRY_AFTER = 60.0
MAX_LONG_POLL = 25
PAGE_SIZE = 100
_S3_RETRYABLE_STATUSES = frozenset({409, 500})
"""S3's own: two requests sent at the same time (ConditionalRequestConflict), and an internal error."""


@dataclass(frozen=True, slots=True)
class Request(Generic[T]):
    """One call: what is sent, and how a good answer is read.

    `path` is below the server's URL. `safe_to_retry`: the call may be sent again when it is unknown whether the
    first one arrived. `long_poll`: seconds the server may keep the answer back, to be added to the time limit.
    """

    method: str
    path: str
    read: Callable[[Response], T]
    query: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | None = None
    safe_to_retry: bool = True
    long_poll: float = 0.0


def submit(body: Mapping[str, Any], idempotency_key: str) -> Request[Job]:
    """Submit a job; `body` is the submit body of the contract, whose None values are left out.

    Raises InvalidArgumentError when the key is not 1 to 255 visible ASCII characters, TypeError or ValueError when
    `body` is not JSON.
    """
    if not IDEMPOTENCY_KEY.fullmatch(idempotency_key):
        raise InvalidArgumentError("an idempotency key must be 1 to 255 visible ASCII characters")
    given = {name: value for name, value in body.items() if value is not None}
    return Request(
        "POST",
        "/v1/jobs",
        responses.job,
        headers={"Idempotency-Key": idempotency_key, **JSON_HEADERS},
        body=encode_json(given),
    )


def job(job_id: str, *, long_poll: float = 0.0) -> Request[Job]:
    """Fetch a job; with `long_poll`, the server answers when it is done or after that many seconds (at most 25)."""
    seconds = int(min(long_poll, MAX_LONG_POLL))
    headers = {"Prefer": f"wait={seconds}"} if seconds > 0 else {}
    return Request("GET", _job_path(job_id), responses.job, headers=headers, long_poll=seconds)


def cancel(job_id: str) -> Request[Job]:
    """Ask a job to stop."""
    return Request("POST", _job_path(job_id, "/cancel"), responses.job)


def replay(job_id: str) -> Request[Job]:
    """Make a new job with the type and input of this one. Not repeatable: each arrival makes a job."""
    return Request("POST", _job_path(job_id, "/replay"), responses.job, safe_to_retry=False)


def delete(job_id: str) -> Request[None]:
    """Purge a finished job with everything it left."""
    return Request("DELETE", _job_path(job_id), responses.nothing)


def result(job_id: str, name: str | None = None, *, start: int = 0) -> Request[str]:
    """Fetch a result, or the artifact `name`, from byte `start` on where the storage has it.

    200 carries the bytes themselves, for a transport to stream; every other answer is read as the URL that has them.
    """
    headers = {"Range": f"bytes={start}-"} if start else {}
    return Request("GET", _result_path(job_id, name), responses.location, headers=headers)


def result_link(job_id: str, name: str | None = None) -> Request[Mapping[str, Any]]:
    """Where a result, or the artifact `name`, can be fetched: url, expires_at, size, sha256, content_type."""
    return Request("GET", _result_path(job_id, name), responses.link, query={"link": "true"})


def page(schema: str, path: str, query: Mapping[str, str], after: str | None = None) -> Request[ListPage]:
    """A page of any list of the contract: the first, or the one after the cursor.

    `schema` is what its entries are: `job`, `event`, `job type`, `endpoint` or `delivery`.
    """
    read = partial(responses.page, schema, after)
    return Request("GET", path, read, query=query if after is None else {**query, "after": after})


def job_type(name: str) -> Request[Mapping[str, Any]]:
    """The input, output and limits of one job type."""
    return Request("GET", f"/v1/job-types/{path_segment(name)}", responses.document)


def create_upload(
    filename: str, content_type: str, size: int, sha256: str, *, multipart: bool = False
) -> Request[UploadTicket | MultipartTicket]:
    """Ask where to send a file of `size` bytes. Repeatable: an upload that is never sent goes away by itself.

    `multipart` asks for parts where the server need not give them; where it must, it does.
    """
    described = {"filename": filename, "content_type": content_type, "size": size, "sha256": sha256}
    body = encode_json({**described, "multipart": True} if multipart else described)
    return Request("POST", "/v1/uploads", responses.upload_ticket, headers=JSON_HEADERS, body=body)


def upload(upload_id: str) -> Request[UploadStatus]:
    """Fetch an upload: which file it is of, and what is missing."""
    return Request("GET", _upload_path(upload_id), responses.upload)


def upload_parts(upload_id: str, after: int) -> Request[PartsPage]:
    """Where to send the parts after number `after` that have not arrived."""
    return Request("GET", _upload_path(upload_id, "/parts"), responses.parts_page, query={"after": str(after)})


def complete_upload(upload_id: str) -> Request[UploadStatus]:
    """Say that every part was sent. Repeatable: a second call has the same effect."""
    return Request("POST", _upload_path(upload_id, "/complete"), responses.upload)


def events_path(job_id: str) -> str:
    """Where the list of a job's events is."""
    return _job_path(job_id, "/events")


def event_stream(job_id: str, last: str | None) -> Request[None]:
    """The events of a job as they happen, after the one with the id `last`.

    200 carries them, for a transport to stream; 204 means that there are no more.
    """
    headers = {"Accept": "text/event-stream"} | ({} if last is None else {"Last-Event-ID": last})
    return Request("GET", events_path(job_id), responses.nothing, headers=headers)


ENDPOINTS = "/v1/webhook-endpoints"


def create_endpoint(body: Mapping[str, Any]) -> Request[Mapping[str, Any]]:
    """Have events sent to a URL; None values of `body` are left out. Not repeatable: each arrival makes an endpoint."""
    given = {name: value for name, value in body.items() if value is not None}
    return Request(
        "POST",
        ENDPOINTS,
        responses.endpoint_with_secret,
        headers=JSON_HEADERS,
        body=encode_json(given),
        safe_to_retry=False,
    )


def endpoint(endpoint_id: str) -> Request[Mapping[str, Any]]:
    """Fetch a webhook endpoint."""
    return Request("GET", _endpoint_path(endpoint_id), responses.endpoint)


def update_endpoint(endpoint_id: str, changes: Mapping[str, Any]) -> Request[Mapping[str, Any]]:
    """Change some fields of an endpoint."""
    return Request(
        "PATCH", _endpoint_path(endpoint_id), responses.endpoint, headers=JSON_HEADERS, body=encode_json(changes)
    )


def delete_endpoint(endpoint_id: str) -> Request[None]:
    """Remove an endpoint. Repeatable: if the first call arrived after all, the second answer says that it is gone."""
    return Request("DELETE", _endpoint_path(endpoint_id), responses.nothing)


def rotate_secret(endpoint_id: str) -> Request[Mapping[str, Any]]:
    """Give an endpoint a new secret. Not repeatable: the secret before last is no longer valid."""
    return Request(
        "POST", _endpoint_path(endpoint_id, "/rotate-secret"), responses.endpoint_with_secret, safe_to_retry=False
    )


def send_test(endpoint_id: str) -> Request[Mapping[str, Any]]:
    """Send an endpoint a test. Not repeatable: each arrival sends one."""
    return Request("POST", _endpoint_path(endpoint_id, "/test"), responses.delivery, safe_to_retry=False)


def deliveries_path(resource_id: str) -> str:
    """Where the list of deliveries of a job is, or of an endpoint's tests."""
    return f"{_resource_path(resource_id)}/deliveries"


def resend(resource_id: str, delivery_id: str) -> Request[Mapping[str, Any]]:
    """Send a delivery of a job again, or of an endpoint's tests. Repeatable: one in progress is left alone."""
    return Request("POST", f"{deliveries_path(resource_id)}/{path_segment(delivery_id)}/resend", responses.delivery)


def read(request: Request[T], response: Response) -> T:
    """The meaning of an answer. Raises ProblemError for an error answer, UnexpectedResponseError for nonsense."""
    if response.status >= 400:
        raise ProblemError(response.status, responses.problem(response), responses.retry_after(response.headers))
    try:
        return request.read(response)
    except CoatcheckError:
        raise
    except (KeyError, TypeError, ValueError) as error:
        raise responses.unexpected(response) from error


def should_retry(error: Exception, *, safe_to_retry: bool) -> bool | float:
    """Whether a call that ended in `error` is worth sending again; a number is the seconds the server asked for.

    429 and a connection that was never made mean that nothing was done, so these calls are always sent again. The
    client does not wait for a server that asks for more than a minute.
    """
    if isinstance(error, ConnectionFailed):
        return safe_to_retry or not error.sent
    if isinstance(error, TransferFailed):
        return error.status in RETRYABLE_STATUSES or error.status in _S3_RETRYABLE_STATUSES
    if not isinstance(error, ProblemError) or error.status not in RETRYABLE_STATUSES:
        return False
    if not safe_to_retry and error.status != 429:
        return False
    if error.retry_after is None:
        return True
    return error.retry_after if error.retry_after <= MAX_RETRY_AFTER else False


def poll_interval(job: Job) -> float:
    """Seconds until an unfinished job should be polled again: the server's advice, within reason."""
    return 1.0 if job.retry_after is None else min(max(job.retry_after, 0.1), MAX_RETRY_AFTER)


JSON_HEADERS = {"Content-Type": "application/json"}


def encode_json(document: Mapping[str, Any]) -> bytes:
    """A request body. Raises InvalidArgumentError, TypeError or ValueError for what is not JSON."""
    try:
        return json.dumps(document, allow_nan=False).encode()
    except RecursionError as error:
        raise InvalidArgumentError("the input is nested too deeply") from error


def path_segment(text: str) -> str:
    """One segment of a path. Raises InvalidArgumentError for text that would make it the path of something else."""
    # an empty segment, or dots, which are removed in transit, would make it the path of something else
    if text in {"", ".", ".."}:
        raise InvalidArgumentError(f"{text!r} is not an id or a name")
    return quote(text, safe="")


def _job_path(job_id: str, suffix: str = "") -> str:
    return f"/v1/jobs/{path_segment(job_id)}{suffix}"


def _endpoint_path(endpoint_id: str, suffix: str = "") -> str:
    return f"{ENDPOINTS}/{path_segment(endpoint_id)}{suffix}"


def _resource_path(resource_id: str) -> str:
    """The path of what an id names: the prefix of the id tells its kind."""
    return _endpoint_path(resource_id) if resource_id.startswith("whe_") else _job_path(resource_id)


def _upload_path(upload_id: str, suffix: str = "") -> str:
    return f"/v1/uploads/{path_segment(upload_id)}{suffix}"


def _result_path(job_id: str, name: str | None) -> str:
    return _job_path(job_id, "/result" if name is None else f"/result/{path_segment(name)}")
