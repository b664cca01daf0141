"""The JSON that clients send and see: its shape. `coatcheck.core.api.views` fills it in."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Generic, TypeVar

from pydantic import ConfigDict, Field, StringConstraints

from coatcheck.core.api.base_models import Moment, RequestModel, ResponseModel, Timestamp
from coatcheck.core.api.webhook_models import JobWebhook
from coatcheck.core.lifecycle import Status
from coatcheck.core.part_plan import MAX_PARTS, UPLOAD_LIMIT
from coatcheck.core.priority import Priority
from coatcheck.core.waiting import WaitingReason

MAX_SECONDS_AHEAD = 366 * 86_400
"""How far ahead a job may be scheduled: a year, including a leap day."""

MAX_LABELS, MAX_LABEL_NAME_LENGTH, MAX_LABEL_LENGTH = 16, 40, 500
"""How many labels a job may have in `metadata`, and the characters of their names and values."""

MEDIA_TYPE = (
    r"^[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]{0,126}/[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]{0,126}"
    r"(; ?[A-Za-z0-9-]{1,40}=[A-Za-z0-9._-]{1,80}){0,4}$"
)

MetadataKey = Annotated[str, StringConstraints(min_length=1, max_length=MAX_LABEL_NAME_LENGTH)]
MetadataValue = Annotated[str, StringConstraints(max_length=MAX_LABEL_LENGTH)]


class SubmitRequest(RequestModel):
    """A job to be done."""

    model_config: ClassVar[ConfigDict] = ConfigDict(
        json_schema_extra={"examples": [{"type": "demo.sleep", "input": {"seconds": 45, "steps": 45}}]}
    )

    type: str = Field(min_length=1, max_length=64, description="a job type's name", examples=["demo.sleep"])
    input: Any = Field(default_factory=dict, description="what the job type's input schema asks for")
    run_at: Moment | None = Field(default=None, description="start no earlier; at most 366 days ahead; or `delay`")
    delay: float | None = Field(
        default=None, ge=0, le=MAX_SECONDS_AHEAD, description="start no earlier than in so many seconds; or `run_at`"
    )
    queue_ttl: float | None = Field(
        default=None, gt=0, le=MAX_SECONDS_AHEAD, description="expire when not started so many seconds after it could"
    )
    timeout: float | None = Field(
        default=None, ge=0.1, description="seconds an attempt may run; at most, and by default, the job type's"
    )
    max_attempts: int | None = Field(default=None, ge=1, description="at most, and by default, the job type's")
    retention: int | None = Field(
        default=None, ge=1, description="seconds that job and result are kept after the end; the deployment has a limit"
    )
    priority: Annotated[Priority, Field(strict=False)] = Field(
        default=Priority.NORMAL,
        description="which of your jobs go first when your limits let only some run; the deployment may limit it",
    )
    metadata: dict[MetadataKey, MetadataValue] = Field(
        default_factory=dict, max_length=MAX_LABELS, description="your own labels; shown with the job, otherwise unused"
    )
    webhook: JobWebhook | None = Field(
        default=None, description="where to tell of this job, beside the endpoints of /v1/webhook-endpoints"
    )


class UploadRequest(RequestModel):
    """A file to be sent before the job that reads it."""

    model_config: ClassVar[ConfigDict] = ConfigDict(
        json_schema_extra={
            "examples": [{"filename": "flights.csv", "content_type": "text/csv", "size": 31_053_850}],
        }
    )

    filename: str = Field(
        min_length=1,
        max_length=255,
        pattern=r"^[^/\\\x00-\x1f\x7f-\x9f\u2028\u2029]+$",
        description="the file's own name, without a path",
    )
    content_type: str = Field(default="application/octet-stream", pattern=MEDIA_TYPE, max_length=255)
    size: int = Field(ge=0, le=UPLOAD_LIMIT, description="bytes, exactly")
    sha256: str | None = Field(
        default=None,
        pattern=r"^[0-9a-fA-F]{64}$",
        description="hex; other bytes are refused on arrival, or if they come in parts, when the job has read them",
    )
    multipart: bool = Field(
        default=False, description="in parts though one request could carry it: sent side by side, and resumable"
    )


class SentPart(RequestModel):
    """A part, and the ETag that its PUT was answered with."""

    number: int = Field(ge=1, le=MAX_PARTS)
    etag: str = Field(min_length=1, max_length=200)


class CompleteRequest(RequestModel):
    """Every part was sent."""

    parts: list[SentPart] | None = Field(
        default=None, max_length=MAX_PARTS, description="where given, each must have arrived with this ETag"
    )


class FlawView(ResponseModel):
    """One thing wrong with a request."""

    pointer: str = Field(description="where: an RFC 6901 JSON pointer, or /name of a query parameter")
    detail: str


def _unset(value: object) -> bool:
    return value is None


class Problem(ResponseModel):
    """An error (RFC 9457)."""

    type: str = Field(description="a URI that documents this kind of error")
    title: str
    status: int | None = Field(default=None, exclude_if=_unset, description="the HTTP status; not in a job's error")
    detail: str = Field(description="what was wrong this time")
    instance: str | None = Field(default=None, exclude_if=_unset, description="the path it happened on")
    code: str = Field(description="stable; what programs go by")
    retryable: bool = Field(description="whether the same again may succeed")
    request_id: str | None = Field(default=None, exclude_if=_unset, description="names this request in the logs")
    errors: list[FlawView] | None = Field(default=None, exclude_if=_unset, description="each thing that is wrong")


class ProgressView(ResponseModel):
    """How far a running job says it is."""

    fraction: float = Field(ge=0, le=1)
    message: str | None


class ResultView(ResponseModel):
    """What there is to download."""

    size: int = Field(description="bytes")
    content_type: str
    sha256: str = Field(description="hex")
    expires_at: Timestamp | None


class ArtifactView(ResultView):
    """A further file that the job made."""

    name: str


class Urls(ResponseModel):
    """Where to go from here."""

    self: str
    result: str
    cancel: str
    events: str


class StartWindow(ResponseModel):
    """When a job that waits may start: a range that is certain."""

    earliest: Timestamp | None = Field(description="it does not start before this; null for at any time")
    latest: Timestamp | None = Field(description="it expires if it has not started by then; null for never")


class JobView(ResponseModel):
    """A job as it is now."""

    id: str
    type: str
    status: Status
    done: bool = Field(description="whether the status is final")
    version: int = Field(description="grows with each change")
    created_at: Timestamp
    updated_at: Timestamp
    started_at: Timestamp | None
    finished_at: Timestamp | None
    run_at: Timestamp | None
    expires_at: Timestamp | None = Field(description="until when job and result are kept; null until the job ends")
    attempt: int
    max_attempts: int
    priority: Priority
    waiting_reason: WaitingReason | None = Field(description="why the job waits; null if it does not")
    start_window: StartWindow | None = Field(description="when it may start; null if it does not wait")
    progress: ProgressView | None
    error: Problem | None
    result: ResultView | None
    artifacts: list[ArtifactView]
    metadata: dict[str, str]
    replayed_from: str | None
    urls: Urls


class EventView(ResponseModel):
    """One thing that happened to a job."""

    id: str = Field(examples=["evt_000001"])
    type: str = Field(examples=["job.started"])
    at: Timestamp
    attempt: int = Field(description="how many attempts had been started by then")
    error: Problem | None


class TenantEventView(EventView):
    """One thing that happened to one of your jobs."""

    job: str = Field(description="the job's id", examples=["job_0h2j4kq8c5v1m9d3s7n6p0r4t0"])
    job_type: str = Field(examples=["demo.sleep"])
    cursor: str = Field(
        description="where to go on after this event: `Last-Event-ID`, or `after`", examples=["evt_1793957400120"]
    )


class StreamPosition(ResponseModel):
    """Where a stream goes on: with what has happened since this time."""

    at: Timestamp


class LinkView(ResponseModel):
    """Where a result can be downloaded."""

    url: str
    expires_at: Timestamp
    size: int
    sha256: str
    content_type: str


class UploadTicket(ResponseModel):
    """How to send an upload: with this method and these headers, before `expires_at`."""

    id: str = Field(examples=["upl_0h2j4kq8c5v1m9d3s7n6p0r4t0"])
    method: str
    url: str
    headers: dict[str, str]
    expires_at: Timestamp


class PartView(ResponseModel):
    """Where to PUT one part."""

    number: int = Field(description="from 1")
    url: str


class MultipartTicket(ResponseModel):
    """How to send an upload in parts: PUT each of `part_size` bytes (the last has the rest) before `expires_at`."""

    id: str = Field(examples=["upl_0h2j4kq8c5v1m9d3s7n6p0r4t0"])
    part_size: int = Field(description="bytes")
    parts: list[PartView] = Field(description="the first parts that have not arrived")
    next_parts: str | None = Field(description="where to GET more of them, with fresh URLs; null when these are all")
    expires_at: Timestamp


class PartsPage(ResponseModel):
    """Parts that have not arrived, with fresh URLs."""

    parts: list[PartView]
    next_parts: str | None
    expires_at: Timestamp


class UploadView(ResponseModel):
    """An upload as it is now."""

    id: str
    filename: str
    content_type: str
    size: int = Field(description="bytes")
    sha256: str | None = Field(description="hex, as announced")
    complete: bool = Field(description="whether a job's input may name it")
    expires_at: Timestamp = Field(description="until when a job's input may name it")
    ticket: UploadTicket | MultipartTicket | None = Field(description="how to send what is missing; null when complete")


class Limits(ResponseModel):
    """The most a job of this type may ask for, and what it gets if it does not ask."""

    timeout: float = Field(description="seconds")
    max_attempts: int


class JobTypeView(ResponseModel):
    """One kind of work that this deployment does."""

    name: str
    title: str
    description: str
    lane: str
    input_schema: dict[str, Any] = Field(description="JSON Schema of `input`")
    output_schema: dict[str, Any] | None = Field(description="JSON Schema of the result; null where it is not JSON")
    limits: Limits


Entry = TypeVar("Entry")


class Listing(ResponseModel, Generic[Entry]):
    """A page of a list."""

    data: list[Entry]
    next: str | None = Field(description="pass it as `after` for the next page; null on the last")
