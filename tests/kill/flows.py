"""Every flow that is killed, as a table: what stands before, which process dies in it, how it has to end."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from coatcheck import errors
from coatcheck.clock import SECOND
from coatcheck.deployment import WEBHOOKS
from coatcheck.lifecycle import Status
from coatcheck.record import Job
from coatcheck.table.keys import JobKey
from coatcheck.webhooks import DeliveryStatus
from tests.kill import begin
from tests.kill.ground import LANE, Ground
from tests.kill.work import MANY, WORK, body
from worker.tools import system_clock

API, WORKER, SWEEPER, DELIVERER = "api", "worker", "sweeper", "deliverer"

LIST, PUT, GET, UPDATE, QUERY = "ListObjectsV2", "PutItem", "GetItem", "UpdateItem", "Query"
GET_BATCH, SEND_BATCH = "BatchGetItem", "SendMessageBatch"
RECEIVE, AGAIN, DELETE, SEND = "ReceiveMessage", "ChangeMessageVisibility", "DeleteMessage", "SendMessage"
PUT_OBJECT, GET_OBJECT = "PutObject", "GetObject"

READS = frozenset({LIST, GET, GET_BATCH, QUERY, GET_OBJECT, "GetQueueAttributes", "ListMultipartUploads"})
"""What changes nothing in AWS."""

End = tuple[Status, str | None]
"""A final status, and the code of the error that goes with it."""

SUCCEEDED: End = (Status.SUCCEEDED, None)
FAILED: End = (Status.FAILED, errors.HANDLER_ERROR.code)
REJECTED: End = (Status.FAILED, errors.REJECTED.code)
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
    how many the tenant has in the end. `takes` is how many seconds an attempt takes by itself. `told`: the tenant is
    told of the end by webhook.
    """

    name: str
    dies: str
    begin: Callable[[Ground, str, str], JobKey]
    calls: tuple[str, ...]
    ends: tuple[End, ...] = (SUCCEEDED,)
    request: Callable[[JobKey], Request] | None = None
    jobs: int = 1
    purged: bool = False
    takes: float = 0
    told: bool = False


def over(ground: Ground, flow: Flow, job: Job | None) -> bool:
    """Whether nothing more is to come."""
    if job is None or not job.done:
        return False
    if flow.told:
        made = ground.deliveries(job)
        return not job.notify and bool(made) and all(one.status is DeliveryStatus.DELIVERED for one in made)
    return job.gone(system_clock()) if flow.purged else True


def ended_at(ground: Ground, flow: Flow, job: Job) -> int:
    """When the last thing came that was to come."""
    if not flow.told:
        return job.finished_at or 0
    return max(attempt.at + attempt.latency for one in ground.deliveries(job) for attempt in one.attempts)


def lane_of(role: str) -> str:
    """The lane that a process works for."""
    return WEBHOOKS if role == DELIVERER else LANE


def _submit(padding: str) -> Callable[[JobKey], Request]:
    asked = {"type": WORK.name, "input": {"do": "few", "padding": padding}}
    return lambda _: Request("POST", "/v1/jobs", asked, {"Idempotency-Key": begin.KEY})


def _cancel(key: JobKey) -> Request:
    return Request("POST", f"/v1/jobs/{key.id}/cancel")


def _replay(key: JobKey) -> Request:
    return Request("POST", f"/v1/jobs/{begin.original(key).id}/replay", headers={"Idempotency-Key": begin.KEY})


def _purge(key: JobKey) -> Request:
    return Request("DELETE", f"/v1/jobs/{key.id}", answers=frozenset({204}))


_LARGE = body("an input", MANY).hex()[:20_000]
_CLAIMED = (RECEIVE, UPDATE)
_RUN = (*_CLAIMED, UPDATE, DELETE)
_TRIED_AGAIN = (*_CLAIMED, UPDATE, LIST, AGAIN, *_RUN)

_OF_THE_API = (
    Flow("submit", API, begin.nothing, (PUT, SEND), request=_submit("")),
    Flow("submit a large input", API, begin.nothing, (PUT_OBJECT, PUT, SEND), request=_submit(_LARGE)),
    Flow("cancel a waiting job", API, begin.waiting, (GET, UPDATE), (CANCELED,), _cancel),
    Flow("cancel a running job", API, begin.held, (GET, UPDATE), (CANCELED,), _cancel),
    Flow(
        "cancel a job that is told of",
        API,
        begin.told(begin.waiting),
        (GET, UPDATE, SEND),
        (CANCELED,),
        _cancel,
        told=True,
    ),
    Flow("replay", API, begin.finished_before, (GET, GET_OBJECT, PUT_OBJECT, PUT, SEND), request=_replay, jobs=2),
    Flow(
        "purge",
        API,
        begin.finished,
        (GET, UPDATE, QUERY, "BatchWriteItem", LIST, "DeleteObjects"),
        request=_purge,
        purged=True,
    ),
)

_OF_THE_WORKER = (
    Flow("a handler that never looks", WORKER, begin.queued("never-look", timeout=SECOND, max_attempts=2),
         (*_CLAIMED, UPDATE, AGAIN), (TIMED_OUT, LOST), takes=7),
    Flow("a handler that looks too late", WORKER, begin.queued("look", timeout=SECOND, max_attempts=2),
         (*_CLAIMED, UPDATE, LIST, AGAIN, *_CLAIMED, UPDATE, LIST, DELETE), (TIMED_OUT, LOST), takes=2),
    Flow("a cancel that the handler looks for", WORKER, begin.queued("canceled"),
         (*_CLAIMED, UPDATE, LIST, DELETE), (CANCELED,), takes=2),
    Flow("a cancel of an async handler", WORKER, begin.queued("canceled-async"),
         (*_CLAIMED, UPDATE, LIST, DELETE), (CANCELED,), takes=2),
    Flow("a result that fits into the row", WORKER, begin.queued("few"), _RUN),
    Flow("a result and an artifact in S3", WORKER, begin.queued("many"),
         (*_CLAIMED, "CreateMultipartUpload", "UploadPart", "UploadPart", "CompleteMultipartUpload", PUT_OBJECT, PUT,
          UPDATE, DELETE)),
    Flow("a job that is told of", WORKER, begin.told(begin.queued("few")),
         (*_CLAIMED, UPDATE, SEND, DELETE), told=True),
    Flow("a rejected job that is told of", WORKER, begin.told(begin.queued("reject")),
         (*_CLAIMED, UPDATE, SEND, DELETE), (REJECTED,), told=True),
    Flow("an error and a retry", WORKER, begin.queued("raise", fails=1), _TRIED_AGAIN),
    Flow("errors until the attempts are used up", WORKER, begin.queued("raise", fails=9, max_attempts=2),
         (*_CLAIMED, UPDATE, LIST, AGAIN, *_CLAIMED, UPDATE, LIST, DELETE), (FAILED, LOST)),
    Flow("a rejected job", WORKER, begin.queued("reject"), (*_CLAIMED, UPDATE, LIST, DELETE), (REJECTED,)),
    Flow("a handler that asks for later", WORKER, begin.queued("later", fails=1), _TRIED_AGAIN, takes=1),
    Flow("a checkpoint and a second leg", WORKER, begin.queued("continue"),
         (*_CLAIMED, PUT_OBJECT, UPDATE, AGAIN, *_CLAIMED, GET_OBJECT, UPDATE, DELETE)),
    Flow("a history that is moved out of the row", WORKER, begin.tried("raise", fails=6),
         (*_CLAIMED, UPDATE, UPDATE, LIST, AGAIN, *_RUN)),
    Flow("a scheduled job whose time has come", WORKER, begin.scheduled(),
         (RECEIVE, UPDATE, UPDATE, UPDATE, UPDATE, DELETE)),
    Flow("a job taken over from a lost worker", WORKER, begin.lost(message=True), _RUN),
)  # fmt: skip

_WOKEN = (QUERY, GET_BATCH, SEND_BATCH, UPDATE)
_OF_THE_SWEEPER = (
    Flow("sweep: a lost message", SWEEPER, begin.queued("few", message=False, due_at=1), _WOKEN),
    Flow("sweep: a scheduled job", SWEEPER, begin.scheduled(message=False), _WOKEN),
    Flow("sweep: a lost worker", SWEEPER, begin.lost(), (QUERY, GET_BATCH, UPDATE, SEND, LIST)),
    Flow("sweep: a lost worker, after many attempts", SWEEPER, begin.lost(begin.tried("few", message=False)),
         (QUERY, GET_BATCH, UPDATE, UPDATE, SEND, LIST)),
    Flow("sweep: the last attempt is lost", SWEEPER, begin.lost(begin.queued("few", message=False, max_attempts=1)),
         (QUERY, GET_BATCH, UPDATE, LIST), (LOST,)),
    Flow("sweep: the last attempt is lost, and told of", SWEEPER,
         begin.told(begin.lost(begin.queued("few", message=False, max_attempts=1))),
         (QUERY, GET_BATCH, UPDATE, SEND, LIST), (LOST,), told=True),
    Flow("sweep: an end that nobody was told of", SWEEPER, begin.untold(message=False), _WOKEN,
         (FAILED,), told=True),
    Flow("sweep: a delivery without a message", SWEEPER, begin.undelivered(message=False), (QUERY, GET, SEND, UPDATE),
         (FAILED,), told=True),
    Flow("sweep: the last attempt ran out of time", SWEEPER,
         begin.lost(begin.queued("few", message=False, max_attempts=1, timeout=SECOND)),
         (QUERY, GET_BATCH, UPDATE, LIST), (TIMED_OUT,)),
    Flow("sweep: a queue_ttl that has passed", SWEEPER,
         begin.queued("few", message=False, due_at=1, queue_deadline=1), (QUERY, GET_BATCH, UPDATE), (EXPIRED,)),
    Flow("sweep: a cancel whose worker is lost", SWEEPER, begin.canceling, (QUERY, GET_BATCH, UPDATE, LIST),
         (CANCELED,)),
)  # fmt: skip

_TRIED = (RECEIVE, GET, GET, "GetSecretValue", UPDATE, UPDATE, DELETE)
_OF_THE_DELIVERER = (
    Flow("an end that is told of", DELIVERER, begin.untold(), (RECEIVE, GET, QUERY, PUT, SEND, UPDATE, DELETE, *_TRIED),
         (FAILED,), told=True),
    Flow("a delivery", DELIVERER, begin.undelivered(), _TRIED, (FAILED,), told=True),
    Flow("a delivery whose deliverer is lost", DELIVERER, begin.undelivered(lost=True), _TRIED, (FAILED,), told=True),
)  # fmt: skip

_ALL = (*_OF_THE_API, *_OF_THE_WORKER, *_OF_THE_SWEEPER, *_OF_THE_DELIVERER)
FLOWS: Mapping[str, Flow] = {flow.name: flow for flow in _ALL}
"""The slowest to heal first: they are killed first."""
