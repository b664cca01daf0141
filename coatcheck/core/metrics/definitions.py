"""Every metric, defined once, as data: the documentation, the EMF lines and the Prometheus text are made from it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum, StrEnum


class Unit(StrEnum):
    """The unit of a metric, as CloudWatch names it."""

    COUNT = "Count"
    SECONDS = "Seconds"
    BYTES = "Bytes"
    PERCENT = "Percent"


class Kind(Enum):
    """What the values of a metric are. The value is how the documentation says it."""

    COUNT = "count"
    """How often something happened: values are added up."""

    DISTRIBUTION = "distribution"
    """One value for each time something happened: percentiles, least, most and mean."""

    LEVEL = "level"
    """How something stands: the newest value holds."""

    SHARE = "share"
    """1 where something happened and 0 where it did not: the mean is the rate, the sum the number."""


Dimensions = tuple[str, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Metric:
    """A metric. `dimensions` are recorded with each value.

    `sets` are the sets of dimensions by which CloudWatch keeps it, each a metric of its own, which costs money; the
    empty set is the deployment as a whole. Prometheus keeps all `dimensions`, as labels.
    """

    name: str
    unit: Unit
    kind: Kind
    dimensions: Dimensions
    sets: Sequence[Dimensions]
    meaning: str


WHOLE: Sequence[Dimensions] = ((),)
"""One metric for the whole deployment."""

_ENDPOINT: Dimensions = ("Endpoint", "StatusClass")
_JOB: Dimensions = ("JobType", "Lane")
_JOB_END: Dimensions = ("JobType", "Lane", "Outcome")
_EACH_JOB: Sequence[Dimensions] = (("JobType",), ("Lane",))

REQUESTS = Metric(
    "Requests",
    Unit.COUNT,
    Kind.COUNT,
    _ENDPOINT,
    (_ENDPOINT, ("StatusClass",)),
    "Requests answered. `StatusClass` is the class of the status: `2xx`, `4xx`, `5xx`; `499` is a client that left",
)
REQUEST_TIME = Metric(
    "RequestTime",
    Unit.SECONDS,
    Kind.DISTRIBUTION,
    _ENDPOINT,
    (("Endpoint",), ()),
    "From a request to the first byte of its answer, without requests that waited for their job (`Prefer: wait`)",
)
JOBS_SUBMITTED = Metric("JobsSubmitted", Unit.COUNT, Kind.COUNT, _JOB, _EACH_JOB, "Jobs accepted")
INPUT_BYTES = Metric(
    "InputBytes",
    Unit.BYTES,
    Kind.DISTRIBUTION,
    _JOB,
    (("JobType",),),
    "Size of the input of a job, without its uploads",
)
ATTEMPTS_STARTED = Metric(
    "AttemptsStarted", Unit.COUNT, Kind.COUNT, _JOB, _EACH_JOB, "Attempts that a worker began, each leg of a job too"
)
QUEUE_TIME = Metric(
    "QueueTime",
    Unit.SECONDS,
    Kind.DISTRIBUTION,
    _JOB,
    _EACH_JOB,
    "From when a job might start (its submit, or `run_at`) to its first attempt. Jobs that a running cap of their "
    "tenant holds back are not in it",
)
ATTEMPTS_FAILED = Metric(
    "AttemptsFailed",
    Unit.COUNT,
    Kind.COUNT,
    ("JobType", "Lane", "Error"),
    (("JobType", "Error"), ("Lane", "Error")),
    "Attempts that ended badly, and were repeated or not. `Error` is the code, as `handler-error` or `worker-lost`",
)
JOBS_ENDED = Metric(
    "JobsEnded",
    Unit.COUNT,
    Kind.COUNT,
    _JOB_END,
    (("JobType", "Outcome"), ("Lane", "Outcome")),
    "Jobs that ended. `Outcome` is the final status",
)
JOBS_FAILED = Metric(
    "JobsFailed",
    Unit.COUNT,
    Kind.SHARE,
    _JOB_END,
    _EACH_JOB,
    "1 for each job that ended as `failed` or `timed_out`, 0 for one that `succeeded`: the mean is the failure rate",
)
RUN_TIME = Metric(
    "RunTime", Unit.SECONDS, Kind.DISTRIBUTION, _JOB_END, (("JobType",),), "How long the last attempt of a job ran"
)
ATTEMPTS = Metric("Attempts", Unit.COUNT, Kind.DISTRIBUTION, _JOB_END, (("JobType",),), "Attempts that a job took")
RESULT_BYTES = Metric(
    "ResultBytes", Unit.BYTES, Kind.DISTRIBUTION, _JOB_END, (("JobType",),), "Size of the result, without artifacts"
)
WEBHOOK_ATTEMPTS = Metric(
    "WebhookAttempts",
    Unit.COUNT,
    Kind.COUNT,
    ("Outcome",),
    (("Outcome",),),
    "Attempts to deliver a webhook. `Outcome` is `delivered`, `refused` (a status that is not 2xx) or `unanswered`",
)
WEBHOOK_TIME = Metric(
    "WebhookTime", Unit.SECONDS, Kind.DISTRIBUTION, ("Outcome",), WHOLE, "How long a receiver took to answer"
)
WEBHOOK_LAG = Metric(
    "WebhookLag",
    Unit.SECONDS,
    Kind.DISTRIBUTION,
    ("Outcome",),
    WHOLE,
    "How late an attempt began: after its event, or after the time that the schedule gave it",
)
WEBHOOKS_GIVEN_UP = Metric(
    "WebhooksGivenUp", Unit.COUNT, Kind.COUNT, (), WHOLE, "Deliveries that failed for good, after all attempts"
)
SWEEP_ROWS = Metric("SweepRows", Unit.COUNT, Kind.COUNT, (), WHOLE, "Rows that a sweep dealt with")
SWEEP_LEFT = Metric("SweepLeft", Unit.COUNT, Kind.LEVEL, (), WHOLE, "What a sweep had no time for, or failed on")
SWEEP_TIME = Metric("SweepTime", Unit.SECONDS, Kind.DISTRIBUTION, (), WHOLE, "How long a sweep took")
SWEEP_TIME_USED = Metric(
    "SweepTimeUsed",
    Unit.PERCENT,
    Kind.LEVEL,
    (),
    WHOLE,
    "Part of its time that a sweep used; at 100 it is cut short",
)
SWEEP_LAG = Metric(
    "SweepLag", Unit.SECONDS, Kind.LEVEL, (), WHOLE, "How late the sweep was for the job that was due the longest"
)
OLDEST_WAITING = Metric(
    "OldestWaiting",
    Unit.SECONDS,
    Kind.LEVEL,
    ("Lane",),
    (("Lane",),),
    "How long the oldest job waits that the sweep found unclaimed. It finds each job 1, 3, 7, 15, 31 … minutes after "
    "it might have started",
)
AWS_RETRIES = Metric(
    "AwsRetries", Unit.COUNT, Kind.COUNT, ("Service",), (("Service",),), "Requests to AWS that were sent again"
)
AWS_THROTTLES = Metric(
    "AwsThrottles", Unit.COUNT, Kind.COUNT, ("Service",), (("Service",),), "Requests that AWS answered as too many"
)
AWS_REFUSALS = Metric(
    "AwsRefusals",
    Unit.COUNT,
    Kind.COUNT,
    ("Service",),
    (("Service",),),
    "Requests that AWS refused for want of a permission or of valid credentials",
)
TENANT_REQUESTS = Metric(
    "TenantRequests",
    Unit.COUNT,
    Kind.COUNT,
    ("Tenant", "StatusClass"),
    (("Tenant", "StatusClass"),),
    "As `Requests`, of a tenant",
)
TENANT_JOBS_ENDED = Metric(
    "TenantJobsEnded",
    Unit.COUNT,
    Kind.COUNT,
    ("Tenant", "Outcome"),
    (("Tenant", "Outcome"),),
    "As `JobsEnded`, of a tenant",
)

METRICS: Sequence[Metric] = (
    *(REQUESTS, REQUEST_TIME),
    *(JOBS_SUBMITTED, INPUT_BYTES, ATTEMPTS_STARTED, QUEUE_TIME, ATTEMPTS_FAILED),
    *(JOBS_ENDED, JOBS_FAILED, RUN_TIME, ATTEMPTS, RESULT_BYTES),
    *(WEBHOOK_ATTEMPTS, WEBHOOK_TIME, WEBHOOK_LAG, WEBHOOKS_GIVEN_UP),
    *(SWEEP_ROWS, SWEEP_LEFT, SWEEP_TIME, SWEEP_TIME_USED, SWEEP_LAG, OLDEST_WAITING),
    *(AWS_RETRIES, AWS_THROTTLES, AWS_REFUSALS),
    *(TENANT_REQUESTS, TENANT_JOBS_ENDED),
)

TENANT = "Tenant"
"""The dimension that has no bound but the number of tenants: recorded only where the deployment asks for it."""
