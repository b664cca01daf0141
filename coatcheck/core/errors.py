"""Every expected error, named once. HTTP knows them by their `code`; nothing here knows HTTP."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from coatcheck.core.token_bucket import BucketLevel


@dataclass(frozen=True, slots=True)
class FieldError:
    """One thing wrong with what a client sent: where (RFC 6901 JSON pointer) and what."""

    pointer: str
    detail: str


@dataclass(eq=False)
class ServiceError(Exception):
    """An error that a client sees. `code` is stable, `detail` says what was wrong this time.

    `retry_after` is the number of seconds after which the same request may succeed, where that is known.
    """

    detail: str
    retry_after: int | None = field(default=None, kw_only=True)

    code = "internal"
    title = "Something went wrong on our side"
    advice = "Try again. If it keeps failing, give the `request_id` to the owner of this service."
    retryable = True

    def __str__(self) -> str:
        return f"{self.code}: {self.detail}"


@dataclass(eq=False)
class InvalidRequest(ServiceError):
    """The request does not follow the contract."""

    field_errors: Sequence[FieldError] = field(default=())

    code = "invalid-request"
    title = "The request is not valid"
    advice = "Correct what `errors` names. The API is described at /docs, a job type's input at /v1/job-types/{type}."
    retryable = False


class MalformedJson(ServiceError):
    """The body is not JSON."""

    code = "malformed-json"
    title = "The body is not valid JSON"
    advice = "Send one JSON object in UTF-8, without NaN, infinities or lone surrogates."
    retryable = False


class PayloadTooLarge(ServiceError):
    """The body is larger than a request may be."""

    code = "payload-too-large"
    title = "The body is too large"
    advice = 'Send large inputs through POST /v1/uploads and name them in the input as {"$upload": "upl_…"}.'
    retryable = False


class UnsupportedMediaType(ServiceError):
    """The body is in a format or an encoding that is not accepted."""

    code = "unsupported-media-type"
    title = "The body's media type or encoding is not supported"
    advice = "Send application/json in UTF-8 without Content-Encoding."
    retryable = False


class NotFound(ServiceError):
    """The tenant has nothing with this id."""

    code = "not-found"
    title = "Not found"
    advice = "Check the id, and that the API key belongs to the tenant that created it."
    retryable = False


class MethodNotAllowed(ServiceError):
    """The path exists, the method on it does not."""

    code = "method-not-allowed"
    title = "The path does not have this method"
    advice = "The `Allow` header names the methods that the path has."
    retryable = False


class Unauthenticated(ServiceError):
    """The credentials are missing or unknown."""

    code = "unauthenticated"
    title = "Credentials are missing or not valid"
    advice = "Send `Authorization: Bearer` with an API key, or with a token of an issuer that this deployment trusts."
    retryable = False


@dataclass(eq=False)
class MissingScope(ServiceError):
    """The credentials are good, but not for this: they lack the scope `scope`."""

    scope: str

    code = "missing-scope"
    title = "The credentials do not allow this"
    advice = "Use an API key or a token that has the scope in `detail`: the owner of this service gives scopes."
    retryable = False


class Forbidden(ServiceError):
    """Whoever calls is known, and is nobody whom this deployment lets in."""

    code = "forbidden"
    title = "Forbidden"
    advice = "Ask the owner of this service: its trust policy says who may call, and for which tenant."
    retryable = False


class IdempotencyKeyReused(ServiceError):
    """The key was used for another job."""

    code = "idempotency-key-reused"
    title = "This Idempotency-Key was used with another body"
    advice = "Use a new key for a new job. To retry, send the same body."
    retryable = False


class NotFinished(ServiceError):
    """The job must have ended for this."""

    code = "not-finished"
    title = "The job has not finished"
    advice = "Wait until `done` is true, or cancel the job first."
    retryable = True


class AlreadyFinished(ServiceError):
    """The job has ended: there is nothing to cancel."""

    code = "already-finished"
    title = "The job has already finished"
    advice = "A finished job can be replayed or deleted."
    retryable = False


class NoResult(ServiceError):
    """The job ended without a result."""

    code = "no-result"
    title = "The job ended without a result"
    advice = "The job's `status` and `error` say why; POST …/replay runs it again."
    retryable = False


class Gone(ServiceError):
    """It existed, but its retention is over or it was deleted."""

    code = "gone"
    title = "The job and its result are no longer kept"
    advice = "Submit it again, with a longer `retention` if results are fetched late."
    retryable = False


class RangeNotSatisfiable(ServiceError):
    """The range begins behind the end of the bytes."""

    code = "range-not-satisfiable"
    title = "The range is outside of the file"
    advice = "If you already have as many bytes as the result, nothing is missing. Else fetch it without a `Range`."
    retryable = False


class NotMultipart(ServiceError):
    """The upload is not sent in parts."""

    code = "not-multipart"
    title = "The upload is not sent in parts"
    advice = "Send it in one request, as its ticket says. There is nothing to complete."
    retryable = False


class UploadIncomplete(InvalidRequest):
    """Parts of an upload are missing, or differ from those that the client named."""

    code = "upload-incomplete"
    title = "The upload cannot be completed yet"
    advice = "Send the parts that `errors` names: GET /v1/uploads/{id} returns fresh URLs. Then complete it again."
    retryable = False


class TooManyUploads(ServiceError):
    """The tenant has as many unfinished uploads as it may."""

    code = "too-many-uploads"
    title = "Too many multipart uploads are unfinished"
    advice = "Complete some of them, or wait: an unfinished upload is removed after a day or two."
    retryable = True


@dataclass(eq=False)
class SubmitRateExceeded(ServiceError):
    """The tenant submits faster than it may. `level` is what its bucket of submits holds."""

    level: BucketLevel

    code = "submit-rate-exceeded"
    title = "Jobs are submitted too fast"
    advice = (
        "Send it again after `Retry-After` seconds. The fields `RateLimit` and `RateLimit-Policy` say how many fit."
    )
    retryable = True


class TooManyJobsWaiting(ServiceError):
    """As many jobs of the tenant wait as may."""

    code = "too-many-jobs-waiting"
    title = "Too many jobs wait to be started"
    advice = "Wait until some have started, or cancel some that wait."
    retryable = True


class StorageQuotaExceeded(ServiceError):
    """The tenant has as many bytes in the bucket as it may."""

    code = "storage-quota-exceeded"
    title = "The storage quota is used up"
    advice = "Delete finished jobs, or wait until their retention is over: a shorter `retention` helps."
    retryable = True


class TooManyWebhookTests(ServiceError):
    """The tenant has asked for as many test pings and resends as it may in an hour."""

    code = "too-many-webhook-tests"
    title = "Too many webhooks are sent by hand"
    advice = "Wait for `Retry-After` seconds. What fails is sent again by itself: see `next_attempt_at`."
    retryable = True


class UploadQuotaExceeded(ServiceError):
    """The tenant has announced as many bytes today as it may."""

    code = "upload-quota-exceeded"
    title = "The daily upload quota is used up"
    advice = "Wait until midnight (UTC), or ask the owner of this service for a larger quota."
    retryable = True


class TooManyStreams(ServiceError):
    """As many event streams are open as may be, in all or for the tenant."""

    code = "too-many-streams"
    title = "Too many event streams are open"
    advice = "Close those that nobody reads, or poll the same URL without `Accept: text/event-stream`."
    retryable = True


class TooManyEndpoints(ServiceError):
    """The tenant has as many webhook endpoints as it may."""

    code = "too-many-endpoints"
    title = "There are too many webhook endpoints"
    advice = "Delete an endpoint that you no longer use, or subscribe one to more events."
    retryable = False


class ReservedEndpoint(ServiceError):
    """The endpoint stands for the URLs of jobs: it has only a secret of its own."""

    code = "reserved-endpoint"
    title = "This endpoint is reserved for the webhook URLs of jobs"
    advice = "You can read it and rotate its secret. URL and events are set by the `webhook` of each submit."
    retryable = False


class ChangedMeanwhile(ServiceError):
    """Somebody else changed it at the same time."""

    code = "changed-meanwhile"
    title = "Another request changed it at the same time"
    advice = "Read it again, then repeat the call if you still want the change."
    retryable = True


class Unavailable(ServiceError):
    """A service that Coatcheck depends on did not answer."""

    code = "unavailable"
    title = "The service cannot do this right now"
    advice = "Try again after `Retry-After` seconds. Submits are safe to repeat under an Idempotency-Key."
    retryable = True


SERVICE_ERRORS: tuple[type[ServiceError], ...] = (
    ServiceError,
    InvalidRequest,
    MalformedJson,
    PayloadTooLarge,
    UnsupportedMediaType,
    NotFound,
    MethodNotAllowed,
    Unauthenticated,
    MissingScope,
    Forbidden,
    IdempotencyKeyReused,
    NotFinished,
    AlreadyFinished,
    NoResult,
    Gone,
    RangeNotSatisfiable,
    NotMultipart,
    UploadIncomplete,
    TooManyUploads,
    SubmitRateExceeded,
    TooManyJobsWaiting,
    StorageQuotaExceeded,
    TooManyWebhookTests,
    UploadQuotaExceeded,
    TooManyStreams,
    TooManyEndpoints,
    ReservedEndpoint,
    ChangedMeanwhile,
    Unavailable,
)


@dataclass(frozen=True, slots=True)
class JobErrorKind:
    """A way a job can end badly, as `JobView.error` names it. `retryable`: whether a replay may succeed."""

    code: str
    title: str
    advice: str
    retryable: bool


HANDLER_ERROR = JobErrorKind(
    "handler-error", "The handler raised an error on every attempt", "Replay the job when the cause is fixed.", True
)
HANDLER_CRASHED = JobErrorKind(
    "handler-crashed",
    "The process that ran the handler ended on every attempt",
    "`detail` says how it ended. Replay the job when the cause is fixed, or give its lane more memory.",
    True,
)
REJECTED = JobErrorKind("rejected", "The handler refused the job", "`detail` says what to send instead.", False)
TIMED_OUT = JobErrorKind(
    "timed-out", "The last attempt ran past its timeout", "Ask for a longer `timeout`, or for less work.", True
)
WORKER_LOST = JobErrorKind(
    "worker-lost",
    "The worker died during the last attempt",
    "Its machine or container ended, perhaps for lack of memory. Replay the job, or give its lane more memory.",
    True,
)
QUEUE_TTL_PASSED = JobErrorKind(
    "queue-ttl-passed", "The job was not started in time", "Replay the job, with a longer `queue_ttl` or none.", True
)
CANCELED = JobErrorKind("canceled", "The job was canceled", "Replay the job if you want it after all.", True)
BAD_RESULT = JobErrorKind(
    "bad-result", "The handler returned an invalid result", "Tell the owner of the job type.", False
)
UNKNOWN_TYPE = JobErrorKind(
    "unknown-type", "No worker has a handler for this job type", "Ask the owner to deploy workers that have it.", True
)
HANDED_BACK = JobErrorKind(
    "handed-back", "The worker was stopped and returned the job", "Nothing to do: another worker runs it again.", True
)
DEAD_LETTERED = JobErrorKind(
    "dead-lettered",
    "The job's message went to the dead-letter queue",
    "Nothing to do: the job still waits, and is queued again. The owner finds the message with `coatcheck dlq list`.",
    True,
)

JOB_ERRORS = (
    *(HANDLER_ERROR, HANDLER_CRASHED, REJECTED, TIMED_OUT, WORKER_LOST, HANDED_BACK, QUEUE_TTL_PASSED, CANCELED),
    *(BAD_RESULT, UNKNOWN_TYPE, DEAD_LETTERED),
)
