"""Webhooks as the service knows them: endpoints, events, deliveries and their attempts. Pure."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any
from urllib.parse import urlsplit

from coatcheck.core.clock import DAY, HOUR, MINUTE, SECOND
from coatcheck.core.ids import make_id
from coatcheck.core.job import Job, Legs
from coatcheck.core.lifecycle import CLAIM, TRANSITIONS, Status
from coatcheck.core.trace import TraceContext

STARTED = CLAIM.event or ""
FINAL_EVENTS: Mapping[Status, str] = {
    transition.target: transition.event
    for transition in TRANSITIONS
    if transition.target is not None and transition.event and transition.target.final
}
EVENTS = (STARTED, *sorted(set(FINAL_EVENTS.values())))
"""The events that an endpoint may subscribe to."""

TEST_EVENT = "webhook.test"

SCHEDULE = (0, 5 * SECOND, 5 * MINUTE, 30 * MINUTE, 2 * HOUR, 5 * HOUR, 10 * HOUR, 14 * HOUR, 20 * HOUR, 24 * HOUR)
"""Milliseconds between each attempt and the one before it: the schedule of Standard Webhooks."""

JITTER = 0.1
MAX_RETRY_AFTER = DAY
"""The longest time by which a receiver's Retry-After can delay the next attempt, in milliseconds."""

ATTEMPT_LEASE = 60 * SECOND
"""How long an attempt may run before its deliverer counts as dead, in milliseconds."""

ROTATION_OVERLAP = DAY
"""How long events are signed with the previous secret too, in milliseconds."""

DISABLE_AFTER = 5 * DAY
"""How long an endpoint may fail without a single success before it is disabled, in milliseconds."""

FAILURES_IN_A_ROW = 5
"""Consecutive failures after which an endpoint gets a cooldown."""

MIN_COOLDOWN, MAX_COOLDOWN = 30 * SECOND, 10 * MINUTE

COOLDOWN_SPREAD = 30 * SECOND
"""The longest time over which the deliveries that waited for a cooldown to end are spread, in milliseconds."""

MAX_ENDPOINTS = 50
"""Endpoints of a tenant without a limit of its own."""

MAX_ENDPOINTS_OF_A_HOST = 5
"""Endpoints of a tenant that may name one host: a receiver that wants nothing of it gets no more for each event."""

MAX_ATTEMPTS_KEPT = 50

DELIVERY_RETENTION = 14 * DAY
"""How long a delivery is kept at least, in milliseconds: its schedule is over by then, whatever Retry-After adds."""

JOBS_ENDPOINT = "whe_jobs"
"""Stands for the URLs that jobs name: their webhooks are signed with its secret."""


class DeliveryStatus(StrEnum):
    """Where a delivery is."""

    PENDING = "pending"
    DELIVERED = "delivered"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class WebhookEndpoint:
    """Where a tenant's events go. Times are milliseconds since the epoch.

    `generation` is the number of its secret, from 1, and `rotated_at` is when that secret was created. `failures`
    counts consecutive failures, and `failing_since` is the time of the first. Nothing is sent before `resting_until`.
    `version` is the fence. `unknown` holds the attributes that only a newer version knows.
    """

    tenant: str
    id: str
    url: str
    events: tuple[str, ...]
    created_at: int
    description: str = ""
    enabled: bool = True
    disabled_reason: str | None = None
    generation: int = 1
    rotated_at: int | None = None
    failures: int = 0
    failing_since: int | None = None
    resting_until: int | None = None
    version: int = 1
    unknown: Mapping[str, Any] = field(default_factory=dict, hash=False)

    def generations(self, now: int) -> tuple[int, ...]:
        """The numbers of the secrets that sign its events now, the newest first."""
        overlaps = self.rotated_at is not None and now < self.rotated_at + ROTATION_OVERLAP
        return (self.generation, self.generation - 1) if overlaps else (self.generation,)


@dataclass(frozen=True, slots=True)
class DeliveryAttempt:
    """One attempt: `status_code` and the first KB of the answer, or `error` (a code and a line) if there was none.

    `unknown` holds the attributes that only a newer version knows.
    """

    at: int
    latency: int
    status_code: int | None = None
    error: str | None = None
    response: str | None = None
    unknown: Mapping[str, Any] = field(default_factory=dict, hash=False)

    @property
    def succeeded(self) -> bool:
        """Whether the receiver has taken the event."""
        return self.status_code is not None and 200 <= self.status_code < 300 and self.error is None


@dataclass(frozen=True, slots=True)
class DeliveryKey:
    """Names one delivery. `of` is the job it belongs to, or the endpoint for a test, which was created at `made`."""

    tenant: str
    of: str
    made: int
    id: str


@dataclass(frozen=True, slots=True)
class Delivery:
    """One event on its way to one endpoint.

    `body` is what is sent; it never changes. `tries` is how many attempts of the schedule are used up; `trying_since`
    is set while one is in progress. `try_at` is when the next attempt is due, immediately if it is None. `due_at` is
    when the sweeper has to check, as for a job. `version` is the fence. `trace` is that of its job.
    """

    key: DeliveryKey
    event_id: str
    event: str
    endpoint: str
    url: str
    body: bytes
    created_at: int
    keep_until: int
    status: DeliveryStatus = DeliveryStatus.PENDING
    tries: int = 0
    trying_since: int | None = None
    try_at: int | None = None
    due_at: int | None = None
    version: int = 1
    attempts: tuple[DeliveryAttempt, ...] = ()
    trace: TraceContext | None = None

    @property
    def next_attempt_at(self) -> int | None:
        """When the next attempt is, or was, due; None when no attempt is to follow."""
        return (self.try_at or self.created_at) if self.status is DeliveryStatus.PENDING else None

    def attempt_in_progress(self, now: int) -> bool:
        """Whether an attempt is in progress, as far as is known: one that takes too long counts as lost."""
        return self.trying_since is not None and now < self.trying_since + ATTEMPT_LEASE


def pending_events(job: Job) -> tuple[str, ...]:
    """The events of the job that are still to be notified, in order."""
    happened = {STARTED} if job.started_at is not None else set()
    if job.done:
        happened.add(FINAL_EVENTS[job.status])
    return tuple(event for event in job.notify if event in happened)


def future_events(job: Job) -> tuple[str, ...]:
    """The events of `notify` that may yet happen."""
    return () if job.done else tuple(event for event in job.notify if event not in pending_events(job))


def sorted_events(events: Sequence[str]) -> tuple[str, ...]:
    """Each of the events once, in the order in which they can happen."""
    return tuple(event for event in EVENTS if event in set(events))


def job_at_event(job: Job, event: str) -> Job:
    """The job as it was when `event` happened to it; for its last event, that is the row itself."""
    if event != STARTED:
        return job
    return replace(
        job,
        status=Status.RUNNING,
        version=(job.started_version or 1) + 1,
        updated_at=job.started_at or job.updated_at,
        attempt=1,
        max_attempts=job.counted_max_attempts,
        legs=Legs(),
        finished_at=None,
        expires_at=None,
        progress=None,
        error=None,
        result=None,
        artifact_count=0,
    )


def event_id(job: Job, event: str) -> str:
    """The one id of this event, however often it is created: receivers use it to drop duplicates."""
    return _derived("evt", job.tenant, job.id, str(job.created_at), event)


def delivery_id(of_event: str, endpoint: str) -> str:
    """The one id of the delivery of an event to an endpoint."""
    return _derived("dlv", of_event, endpoint)


def host_of(url: str) -> str:
    """The host that a webhook's URL leads to, whatever its port, path and query."""
    return (urlsplit(url).hostname or "").rstrip(".")


def within_host_limit(endpoints: Sequence[WebhookEndpoint]) -> Sequence[WebhookEndpoint]:
    """The endpoints that may get events: of each host, the first `MAX_ENDPOINTS_OF_A_HOST`."""
    seen: Counter[str] = Counter()
    return [one for one in endpoints if _counted(seen, host_of(one.url)) <= MAX_ENDPOINTS_OF_A_HOST]


def _counted(seen: Counter[str], host: str) -> int:
    seen[host] += 1
    return seen[host]


def endpoint_id_for(tenant: str, url: str) -> str:
    """The id that stands for the receiver at a URL named by a job of the tenant: the same for all URLs at an origin."""
    parts = urlsplit(url)
    return _derived("whe", tenant, f"{parts.scheme}://{parts.netloc}".lower())


def _derived(kind: str, *parts: str) -> str:
    return make_id(kind, hashlib.sha256("\0".join(parts).encode()).digest()[:16])


def next_attempt_time(tries: int, *, now: int, roll: float, retry_after: int | None = None) -> int | None:
    """When to try again after `tries` attempts, the last of which failed just now; None when that was the last.

    `roll` in [0, 1) spreads attempts by a tenth to either side. `retry_after` is what the receiver asked for, in
    milliseconds: the next attempt comes no sooner, but a request of more than a day counts as a day.
    """
    if tries >= len(SCHEDULE):
        return None
    wait = round(SCHEDULE[tries] * (1 + JITTER * (2 * roll - 1)))
    return now + max(wait, min(retry_after or 0, MAX_RETRY_AFTER))


def cooldown_after(failures: int) -> int:
    """The cooldown of an endpoint after this many consecutive failures, in milliseconds."""
    if failures < FAILURES_IN_A_ROW:
        return 0
    return min(MIN_COOLDOWN << min(failures - FAILURES_IN_A_ROW, 16), MAX_COOLDOWN)


def after_cooldown(delivery: Delivery, resting_until: int, *, now: int, roll: float) -> int:
    """When to try a delivery that is due now, while its endpoint is in a cooldown.

    The delivery that has waited longest comes first: where most attempts fail, each may start a new cooldown for all
    the others.
    `roll` in [0, 1) spreads those that have not waited yet.
    """
    last = delivery.attempts[-1].at + SCHEDULE[delivery.tries] if delivery.attempts else delivery.created_at
    waited = max(0, now - last)
    return resting_until + int(roll * COOLDOWN_SPREAD * MIN_COOLDOWN / (MIN_COOLDOWN + waited))
