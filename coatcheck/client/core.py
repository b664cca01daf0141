"""Every call of the HTTP contract as a value: what is sent, and how its answer is read. Pure; doors send it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Generic, TypeVar
from urllib.parse import quote

from coatcheck.client import answers
from coatcheck.client.answers import Answer, Job, MultipartTicket, Page, PartsPage, Upload, UploadTicket
from coatcheck.client.errors import CoatcheckError, ConnectionFailed, InvalidArgumentError, ProblemError, TransferFailed

T = TypeVar("T")

RETRIED = frozenset({429, 502, 503, 504})
LONGEST_RETRY_AFTER = 60.0
LONGEST_HOLD = 25
PAGE = 100
_S3_RETRIED = frozenset({409, 500})
"""S3's own: two that were sent at once (ConditionalRequestConflict), and an error of its inside."""

_VISIBLE_ASCII = re.compile(r"[!-~]{1,255}")


@dataclass(frozen=True, slots=True)
class Request(Generic[T]):
    """One call: what is sent, and how a good answer is read.

    `path` is below the server's URL. `repeatable`: the call may be sent again when it is unknown whether the
    first one arrived. `hold`: seconds the server may keep the answer back, to be added to the time limit.
    """

    method: str
    path: str
    read: Callable[[Answer], T]
    query: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | None = None
    repeatable: bool = True
    hold: float = 0.0


def submit(body: Mapping[str, Any], idempotency_key: str) -> Request[Job]:
    """Hand in a job; `body` is the submit body of the contract, whose None values are left out.

    Raises InvalidArgumentError when the key is not 1 to 255 visible ASCII characters, TypeError or ValueError when
    `body` is not JSON.
    """
    if not _VISIBLE_ASCII.fullmatch(idempotency_key):
        raise InvalidArgumentError("an idempotency key is 1 to 255 visible ASCII characters")
    given = {name: value for name, value in body.items() if value is not None}
    return Request(
        "POST", "/v1/jobs", answers.job, headers={"Idempotency-Key": idempotency_key, **_JSON}, body=_encode(given)
    )


def job(job_id: str, *, hold: float = 0.0) -> Request[Job]:
    """Look at a job; with `hold`, the server answers when it is done or after that many seconds (at most 25)."""
    seconds = int(min(hold, LONGEST_HOLD))
    headers = {"Prefer": f"wait={seconds}"} if seconds > 0 else {}
    return Request("GET", _of_job(job_id), answers.job, headers=headers, hold=seconds)


def cancel(job_id: str) -> Request[Job]:
    """Ask a job to stop."""
    return Request("POST", _of_job(job_id, "/cancel"), answers.job)


def replay(job_id: str) -> Request[Job]:
    """Make a new job with the type and input of this one. Not repeatable: each arrival makes a job."""
    return Request("POST", _of_job(job_id, "/replay"), answers.job, repeatable=False)


def delete(job_id: str) -> Request[None]:
    """Purge a finished job with everything it left."""
    return Request("DELETE", _of_job(job_id), answers.nothing)


def result(job_id: str, name: str | None = None, *, start: int = 0) -> Request[str]:
    """Fetch a result, or the artifact `name`, from byte `start` on where the storage has it.

    200 carries the bytes themselves, for a door to stream; every other answer is read as the URL that has them.
    """
    headers = {"Range": f"bytes={start}-"} if start else {}
    return Request("GET", _result_path(job_id, name), answers.location, headers=headers)


def result_link(job_id: str, name: str | None = None) -> Request[Mapping[str, Any]]:
    """Where a result, or the artifact `name`, can be fetched: url, expires_at, size, sha256, content_type."""
    return Request("GET", _result_path(job_id, name), answers.link, query={"link": "true"})


def page(shape: str, path: str, query: Mapping[str, str], after: str | None = None) -> Request[Page]:
    """A page of any list of the contract: the first, or the one after the cursor.

    `shape` is what its entries are: `job`, `event`, `job type`, `endpoint` or `delivery`.
    """
    read = partial(answers.page, shape, after)
    return Request("GET", path, read, query=query if after is None else {**query, "after": after})


def job_type(name: str) -> Request[Mapping[str, Any]]:
    """What one job type takes, gives and allows."""
    return Request("GET", f"/v1/job-types/{_segment(name)}", answers.document)


def create_upload(
    filename: str, content_type: str, size: int, sha256: str, *, multipart: bool = False
) -> Request[UploadTicket | MultipartTicket]:
    """Ask where to send a file of `size` bytes. Repeatable: an upload that is never sent goes away by itself.

    `multipart` asks for parts where the server need not give them; where it must, it does.
    """
    described = {"filename": filename, "content_type": content_type, "size": size, "sha256": sha256}
    body = _encode({**described, "multipart": True} if multipart else described)
    return Request("POST", "/v1/uploads", answers.upload_ticket, headers=_JSON, body=body)


def upload(upload_id: str) -> Request[Upload]:
    """Look at an upload: what it is of, and what is missing."""
    return Request("GET", _of_upload(upload_id), answers.upload)


def upload_parts(upload_id: str, after: int) -> Request[PartsPage]:
    """Where to send the parts behind number `after` that have not arrived."""
    return Request("GET", _of_upload(upload_id, "/parts"), answers.parts_page, query={"after": str(after)})


def complete_upload(upload_id: str) -> Request[Upload]:
    """Say that every part was sent. Repeatable: a second time is as the first."""
    return Request("POST", _of_upload(upload_id, "/complete"), answers.upload)


def events_path(job_id: str) -> str:
    """Where the list of a job's events is."""
    return _of_job(job_id, "/events")


ENDPOINTS = "/v1/webhook-endpoints"


def create_endpoint(body: Mapping[str, Any]) -> Request[Mapping[str, Any]]:
    """Have events sent to a URL; None values of `body` are left out. Not repeatable: each arrival makes an endpoint."""
    given = {name: value for name, value in body.items() if value is not None}
    return Request(
        "POST", ENDPOINTS, answers.endpoint_with_secret, headers=_JSON, body=_encode(given), repeatable=False
    )


def endpoint(endpoint_id: str) -> Request[Mapping[str, Any]]:
    """Look at a webhook endpoint."""
    return Request("GET", _of_endpoint(endpoint_id), answers.endpoint)


def change_endpoint(endpoint_id: str, changes: Mapping[str, Any]) -> Request[Mapping[str, Any]]:
    """Change some fields of an endpoint."""
    return Request("PATCH", _of_endpoint(endpoint_id), answers.endpoint, headers=_JSON, body=_encode(changes))


def delete_endpoint(endpoint_id: str) -> Request[None]:
    """Remove an endpoint. Repeatable: when the first one arrived after all, the second is told that it is gone."""
    return Request("DELETE", _of_endpoint(endpoint_id), answers.nothing)


def rotate_secret(endpoint_id: str) -> Request[Mapping[str, Any]]:
    """Give an endpoint a new secret. Not repeatable: the secret before last is good for nothing."""
    return Request("POST", _of_endpoint(endpoint_id, "/rotate-secret"), answers.endpoint_with_secret, repeatable=False)


def send_test(endpoint_id: str) -> Request[Mapping[str, Any]]:
    """Send an endpoint a test. Not repeatable: each arrival sends one."""
    return Request("POST", _of_endpoint(endpoint_id, "/test"), answers.delivery, repeatable=False)


def deliveries_path(of: str) -> str:
    """Where the list of deliveries of a job is, or of an endpoint's tests."""
    return f"{_of(of)}/deliveries"


def resend(of: str, delivery_id: str) -> Request[Mapping[str, Any]]:
    """Send a delivery of a job again, or of an endpoint's tests. Repeatable: what is on its way is left alone."""
    return Request("POST", f"{deliveries_path(of)}/{_segment(delivery_id)}/resend", answers.delivery)


def read(request: Request[T], answer: Answer) -> T:
    """The meaning of an answer. Raises ProblemError for an error answer, UnexpectedAnswerError for nonsense."""
    if answer.status >= 400:
        raise ProblemError(answer.status, answers.problem(answer), answers.retry_after(answer.headers))
    try:
        return request.read(answer)
    except CoatcheckError:
        raise
    except (KeyError, TypeError, ValueError) as error:
        raise answers.unexpected(answer) from error


def backoff(error: Exception, *, repeatable: bool) -> bool | float:
    """Whether a call that ended in `error` is worth sending again; a number is the seconds the server asked for.

    429 says that nothing was done, as a connection that was never made does, so that those are always sent again. A
    server that asks for more than a minute is not waited for.
    """
    if isinstance(error, ConnectionFailed):
        return repeatable or not error.sent
    if isinstance(error, TransferFailed):
        return error.status in RETRIED or error.status in _S3_RETRIED
    if not isinstance(error, ProblemError) or error.status not in RETRIED:
        return False
    if not repeatable and error.status != 429:
        return False
    if error.retry_after is None:
        return True
    return error.retry_after if error.retry_after <= LONGEST_RETRY_AFTER else False


def pause(job: Job) -> float:
    """Seconds until an unfinished job should be looked at again: what the server advises, within reason."""
    return 1.0 if job.retry_after is None else min(max(job.retry_after, 0.1), LONGEST_RETRY_AFTER)


_JSON = {"Content-Type": "application/json"}


def _encode(document: Mapping[str, Any]) -> bytes:
    try:
        return json.dumps(document, allow_nan=False).encode()
    except RecursionError as error:
        raise InvalidArgumentError("what is to be sent is nested too deeply") from error


def _segment(text: str) -> str:
    # an empty one, and dots, which are taken away on the way, would make it the path of something else
    if text in {"", ".", ".."}:
        raise InvalidArgumentError(f"{text!r} is no id or name")
    return quote(text, safe="")


def _of_job(job_id: str, below: str = "") -> str:
    return f"/v1/jobs/{_segment(job_id)}{below}"


def _of_endpoint(endpoint_id: str, below: str = "") -> str:
    return f"{ENDPOINTS}/{_segment(endpoint_id)}{below}"


def _of(named: str) -> str:
    """Where what an id names is: the prefix of the id tells its kind."""
    return _of_endpoint(named) if named.startswith("whe_") else _of_job(named)


def _of_upload(upload_id: str, below: str = "") -> str:
    return f"/v1/uploads/{_segment(upload_id)}{below}"


def _result_path(job_id: str, name: str | None) -> str:
    return _of_job(job_id, "/result" if name is None else f"/result/{_segment(name)}")
