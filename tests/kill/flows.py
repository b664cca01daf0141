"""Every flow that is killed, as a table: what stands before, which process dies in it, how it has to end."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from coatcheck.core import errors
from coatcheck.core.aws.dynamodb.keys import JobKey
from coatcheck.core.clock import SECOND, system_clock
from coatcheck.core.job import Job
from coatcheck.core.lifecycle import Status
from coatcheck.core.settings import WEBHOOKS
from coatcheck.core.webhooks import DeliveryStatus
from tests.kill import preconditions
from tests.kill.emulator import LANE, Emulator
from tests.kill.job_type import MANY, body, work

API, WORKER, SWEEPER, DELIVERER = "api", "worker", "sweeper", "deliverer"

LIST, PUT, GET, UPDATE, QUERY = "ListObjectsV2", "PutItem", "GetItem", "UpdateItem", "Query"
GET_BATCH, SEND_BATCH = "BatchGetItem", "SendMessageBatch"
RECEIVE, AGAIN, DELETE, SEND = "ReceiveMessage", "ChangeMessageVisibility", "DeleteMessage", "SendMessage"
DELETES = "DeleteMessageBatch"
PUT_OBJECT, GET_OBJECT = "PutObject", "GetObject"

READS = frozenset({LIST, GET, GET_BATCH, QUERY, GET_OBJECT, "GetQueueAttributes", "ListMultipartUploads"})
"""What changes nothing in AWS."""

End = tuple[Status, str | None]
"""A final status, and the code of the error that goes with it."""

SUCCEEDED: End = (Status.SUCCEEDED, None)
FAILED: End = (Status.FAILED, errors.HANDLER_ERROR.code)
REJECTED: End = (Status.FAILED, errors.REJECTED.code)
CRASHED: End = (Status.FAILED, errors.HANDLER_CRASHED.code)
LOST: End = (Status.FAILED, errors.WORKER_LOST.code)
TIMED_OUT: End = (Status.TIMED_OUT, errors.TIMED_OUT.code)
CANCELED: End = (Status.CANCELED, errors.CANCELED.code)
EXPIRED: End = (Status.EXPIRED, errors.QUEUE_TTL_PASSED.code)


@dataclass(frozen=True)
class Request:
    """What the client asks of the API; it asks again when nobody answered."""

    method: str
    path: str
    body: Mapping[str, Any] | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    answers: frozenset[int] = frozenset({200, 202})


@dataclass(frozen=True)
class Flow:
    """One flow. `begin` makes what stands before and names the job; `request` is what the client then asks.

    `calls` are sent in this order, among others, when nothing is killed: who kills nothing shall notice. `ends` are
    how the job may end when something was, the usual end first; a purged job (`purged`) is gone instead. `jobs` is
    how many the tenant has in the end. `takes` is how many seconds an attempt takes by itself. `with_webhook`: the
    tenant is told of the end by webhook.
    """

    name: str
    target: str
    precondition: Callable[[Emulator, str, str], JobKey]
    calls: tuple[str, ...]
    ends: tuple[End, ...] = (SUCCEEDED,)
    request: Callable[[JobKey], Request] | None = None
    jobs: int = 1
    purged: bool = False
    takes: float = 0
    with_webhook: bool = False


def over(emulator: Emulator, flow: Flow, job: Job | None) -> bool:
    """Whether nothing more is to come."""
    if job is None or not job.done:
        return False
    if flow.with_webhook:
        made = emulator.deliveries(job)
        return not job.notify and bool(made) and all(one.status is DeliveryStatus.DELIVERED for one in made)
    return job.gone(system_clock()) if flow.purged else True


def ended_at(emulator: Emulator, flow: Flow, job: Job) -> int:
    """When the last thing came that was to come."""
    if not flow.with_webhook:
        return job.finished_at or 0
    return max(attempt.at + attempt.latency for one in emulator.deliveries(job) for attempt in one.attempts)


def lane_of(role: str) -> str:
    """The lane that a process works for."""
    return WEBHOOKS if role == DELIVERER else LANE


def _submit(padding: str) -> Callable[[JobKey], Request]:
    asked = {"type": work.name, "input": {"do": "few", "padding": padding}}
    return lambda _: Request("POST", "/v1/jobs", asked, {"Idempotency-Key": preconditions.KEY})


def _cancel(key: JobKey) -> Request:
    return Request("POST", f"/v1/jobs/{key.id}/cancel")


def _replay(key: JobKey) -> Request:
    return Request(
        "POST", f"/v1/jobs/{preconditions.original(key).id}/replay", headers={"Idempotency-Key": preconditions.KEY}
    )


def _purge(key: JobKey) -> Request:
    return Request("DELETE", f"/v1/jobs/{key.id}", answers=frozenset({204}))


_LARGE = body("an input", MANY).hex()[:20_000]
_CLAIMED = (RECEIVE, UPDATE)
_RUN = (*_CLAIMED, UPDATE, DELETES)
_TRIED_AGAIN = (*_CLAIMED, UPDATE, LIST, AGAIN, *_RUN)

_OF_THE_API = (
    Flow("submit", API, preconditions.no_job, (PUT, SEND), request=_submit("")),
    Flow("submit a large input", API, preconditions.no_job, (PUT_OBJECT, PUT, SEND), request=_submit(_LARGE)),
    Flow("cancel a waiting job", API, preconditions.waiting, (GET, UPDATE), (CANCELED,), _cancel),
    Flow("cancel a running job", API, preconditions.held, (GET, UPDATE), (CANCELED,), _cancel),
    Flow(
        "cancel a job that is told of",
        API,
        preconditions.with_webhook(preconditions.waiting),
        (GET, UPDATE, SEND),
        (CANCELED,),
        _cancel,
        with_webhook=True,
    ),
    Flow(
        "replay", API, preconditions.finished_before, (GET, GET_OBJECT, PUT_OBJECT, PUT, SEND), request=_replay, jobs=2
    ),
    Flow(
        "purge",
        API,
        preconditions.finished,
        (GET, UPDATE, QUERY, "BatchWriteItem", LIST, "DeleteObjects"),
        request=_purge,
        purged=True,
    ),
)

_OF_THE_WORKER = (
    Flow(
        "a handler that never looks",
        WORKER,
        preconditions.queued("never-look", timeout=SECOND, max_attempts=2),
        (*_CLAIMED, UPDATE, AGAIN),
        (TIMED_OUT, LOST),
        takes=7,
    ),
    Flow(
        "a handler that looks too late",
        WORKER,
        preconditions.queued("look", timeout=SECOND, max_attempts=2),
        (*_CLAIMED, UPDATE, LIST, AGAIN, *_CLAIMED, UPDATE, LIST, DELETES),
        (TIMED_OUT, LOST),
        takes=2,
    ),
    Flow(
        "a cancel that the handler looks for",
        WORKER,
        preconditions.queued("canceled"),
        (*_CLAIMED, UPDATE, LIST, DELETES),
        (CANCELED,),
        takes=2,
    ),
    Flow(
        "a cancel of an async handler",
        WORKER,
        preconditions.queued("canceled-async"),
        (*_CLAIMED, UPDATE, LIST, DELETES),
        (CANCELED,),
        takes=2,
    ),
    Flow("a result that fits into the row", WORKER, preconditions.queued("few"), _RUN),
    Flow(
        "a result and an artifact in S3",
        WORKER,
        preconditions.queued("many"),
        (
            *_CLAIMED,
            "CreateMultipartUpload",
            "UploadPart",
            "UploadPart",
            "CompleteMultipartUpload",
            PUT_OBJECT,
            PUT,
            UPDATE,
            DELETES,
        ),
    ),
    Flow(
        "a job that is told of",
        WORKER,
        preconditions.with_webhook(preconditions.queued("few")),
        (*_CLAIMED, UPDATE, SEND, DELETES),
        with_webhook=True,
    ),
    Flow(
        "a rejected job that is told of",
        WORKER,
        preconditions.with_webhook(preconditions.queued("reject")),
        (*_CLAIMED, UPDATE, SEND, DELETES),
        (REJECTED,),
        with_webhook=True,
    ),
    Flow("an error and a retry", WORKER, preconditions.queued("raise", fails=1), _TRIED_AGAIN),
    Flow(
        "errors until the attempts are used up",
        WORKER,
        preconditions.queued("raise", fails=9, max_attempts=2),
        (*_CLAIMED, UPDATE, LIST, AGAIN, *_CLAIMED, UPDATE, LIST, DELETES),
        (FAILED, LOST),
    ),
    Flow("a rejected job", WORKER, preconditions.queued("reject"), (*_CLAIMED, UPDATE, LIST, DELETES), (REJECTED,)),
    Flow("a handler that asks for later", WORKER, preconditions.queued("later", fails=1), _TRIED_AGAIN, takes=1),
    Flow(
        "a checkpoint and a second leg",
        WORKER,
        preconditions.queued("continue"),
        (*_CLAIMED, PUT_OBJECT, UPDATE, AGAIN, *_CLAIMED, GET_OBJECT, UPDATE, DELETES),
    ),
    Flow(
        "a history that is moved out of the row",
        WORKER,
        preconditions.tried("raise", fails=6),
        (*_CLAIMED, UPDATE, UPDATE, LIST, AGAIN, *_RUN),
    ),
    Flow(
        "a scheduled job whose time has come",
        WORKER,
        preconditions.scheduled(),
        (RECEIVE, UPDATE, UPDATE, UPDATE, UPDATE, DELETES),
    ),
    Flow("a job taken over from a lost worker", WORKER, preconditions.lost(message=True), _RUN),
)

_WOKEN = (QUERY, GET_BATCH, SEND_BATCH, UPDATE)
_OF_THE_SWEEPER = (
    Flow("sweep: a lost message", SWEEPER, preconditions.queued("few", message=False, due_at=1), _WOKEN),
    Flow("sweep: a scheduled job", SWEEPER, preconditions.scheduled(message=False), _WOKEN),
    Flow("sweep: a lost worker", SWEEPER, preconditions.lost(), (QUERY, GET_BATCH, UPDATE, SEND, LIST)),
    Flow(
        "sweep: a lost worker, after many attempts",
        SWEEPER,
        preconditions.lost(preconditions.tried("few", message=False)),
        (QUERY, GET_BATCH, UPDATE, UPDATE, SEND, LIST),
    ),
    Flow(
        "sweep: the last attempt is lost",
        SWEEPER,
        preconditions.lost(preconditions.queued("few", message=False, max_attempts=1)),
        (QUERY, GET_BATCH, UPDATE, LIST),
        (LOST,),
    ),
    Flow(
        "sweep: the last attempt is lost, and told of",
        SWEEPER,
        preconditions.with_webhook(preconditions.lost(preconditions.queued("few", message=False, max_attempts=1))),
        (QUERY, GET_BATCH, UPDATE, SEND, LIST),
        (LOST,),
        with_webhook=True,
    ),
    Flow(
        "sweep: an end that nobody was told of",
        SWEEPER,
        preconditions.unannounced(message=False),
        _WOKEN,
        (FAILED,),
        with_webhook=True,
    ),
    Flow(
        "sweep: a delivery without a message",
        SWEEPER,
        preconditions.undelivered(message=False),
        (QUERY, GET, SEND, UPDATE),
        (FAILED,),
        with_webhook=True,
    ),
    Flow(
        "sweep: the last attempt ran out of time",
        SWEEPER,
        preconditions.lost(preconditions.queued("few", message=False, max_attempts=1, timeout=SECOND)),
        (QUERY, GET_BATCH, UPDATE, LIST),
        (TIMED_OUT,),
    ),
    Flow(
        "sweep: a queue_ttl that has passed",
        SWEEPER,
        preconditions.queued("few", message=False, due_at=1, queue_deadline=1),
        (QUERY, GET_BATCH, UPDATE),
        (EXPIRED,),
    ),
    Flow(
        "sweep: a cancel whose worker is lost",
        SWEEPER,
        preconditions.canceling,
        (QUERY, GET_BATCH, UPDATE, LIST),
        (CANCELED,),
    ),
)

_TRIED = (RECEIVE, GET, GET, "GetSecretValue", UPDATE, UPDATE, DELETE)
_OF_THE_DELIVERER = (
    Flow(
        "an end that is told of",
        DELIVERER,
        preconditions.unannounced(),
        (RECEIVE, GET, QUERY, PUT, UPDATE, GET, GET, "GetSecretValue", UPDATE, UPDATE, DELETE),
        (FAILED,),
        with_webhook=True,
    ),
    Flow("a delivery", DELIVERER, preconditions.undelivered(), _TRIED, (FAILED,), with_webhook=True),
    Flow(
        "a delivery whose deliverer is lost",
        DELIVERER,
        preconditions.undelivered(lost=True),
        _TRIED,
        (FAILED,),
        with_webhook=True,
    ),
)

_ALL = (*_OF_THE_API, *_OF_THE_WORKER, *_OF_THE_SWEEPER, *_OF_THE_DELIVERER)
FLOWS: Mapping[str, Flow] = {flow.name: flow for flow in _ALL}
"""The slowest to heal first: they are killed first."""
