"""A job as its row describes it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from coatcheck.core.clock import SECOND
from coatcheck.core.lifecycle import Slot, Status
from coatcheck.core.priority import Priority
from coatcheck.core.trace import TraceContext

JSON = "application/json"


@dataclass(frozen=True, slots=True)
class Blob:
    """Stored bytes: a result, an artifact or an input.

    `inline` holds them when they are few. Otherwise they are in S3, under the key that `core.aws.s3_keys` derives.
    """

    size: int
    sha256: bytes
    content_type: str
    filename: str | None = None
    inline: bytes | None = None

    @classmethod
    def of(cls, data: bytes, content_type: str, filename: str | None = None) -> Self:
        """A blob that holds `data` itself."""
        return cls(len(data), hashlib.sha256(data).digest(), content_type, filename, data)


@dataclass(frozen=True, slots=True)
class Artifact:
    """A file that a handler made beside the result. `attempt` is the number under which its bytes are stored."""

    blob: Blob
    attempt: int

    @property
    def name(self) -> str:
        """Its name, unique within the job."""
        return self.blob.filename or ""


@dataclass(frozen=True, slots=True)
class Legs:
    """The legs of a job that have ended in `Continue`.

    `count` is how many there were, and `last` is the attempt number of the last one. `kept` is that of the last one
    that made artifacts, and `artifacts` is how many all of them made. 0 stands for none.
    """

    count: int = 0
    last: int = 0
    kept: int = 0
    artifacts: int = 0


@dataclass(frozen=True, slots=True)
class JobError:
    """Why a job or an attempt ended badly: a code of `errors.JOB_ERRORS`, and what happened this time."""

    code: str
    detail: str


@dataclass(frozen=True, slots=True)
class JobEvent:
    """One entry of a job's history; `error` says why an attempt or the job ended badly."""

    type: str
    at: int
    error: JobError | None = None


@dataclass(frozen=True, slots=True)
class Progress:
    """The progress that the handler reports."""

    fraction: float
    message: str | None = None


@dataclass(frozen=True, slots=True)
class Job:
    """One job. Times are in milliseconds since the epoch, durations in milliseconds.

    `expires_at` is set when the job ends: a job that has not ended never expires. `due_at` is when the sweeper has to
    check the row. It is always set until the job ends, and afterwards while the job has something in the bucket.
    `due_shard` is the partition of the `due` index that holds its entry.
    `start_at`: the job is not claimed before this time (delay or backoff). `queue_deadline`: the job expires when it
    has not started by then. `attempt` is the fence: it grows with each claim. `max_attempts` grows by one with each
    `continue`, since that leg was no failed attempt; `counted_attempt` and `counted_max_attempts` leave the legs out.
    `history_from` is the number of the first event in `history`; earlier ones were moved to items of their own.
    `digest` is the digest of the request that created the job, for idempotency. `meant` is the digest of what that
    request means, where it differs (see `coatcheck_service.actions.idempotency`). `dispatches` counts the messages
    that the sweeper sent for the job. `dead_letter` is the id of the last message that its history records as moved to
    the dead-letter queue. `notify` lists the events whose webhooks are still to be sent, `base_url` is the base of the
    links in them, and `started_version` is the version on which the first claim was made. `type_missed_at` is when a
    worker without a handler for its type first received the job; all workers since then have lacked one too. `counted`
    names the tallies of its tenant that the job is part of (`coatcheck.core.tallies`).
    `slot` is what it has of its tenant's slots; while it is parked, `home_shard` is its usual partition of `due`.
    `trace` is that of the request that made it.
    """

    tenant: str
    id: str
    type: str
    lane: str
    status: Status
    version: int
    created_at: int
    updated_at: int
    attempt: int
    max_attempts: int
    timeout: int
    retention: int
    digest: bytes
    input: Blob
    due_shard: str = "due-0"
    expires_at: int | None = None
    due_at: int | None = None
    run_at: int | None = None
    start_at: int | None = None
    queue_deadline: int | None = None
    started_at: int | None = None
    claimed_at: int | None = None
    finished_at: int | None = None
    lease_until: int | None = None
    owner: str | None = None
    progress: Progress | None = None
    error: JobError | None = None
    result: Blob | None = None
    artifact_count: int = 0
    checkpoint: Blob | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)
    webhook: Mapping[str, Any] | None = None
    notify: tuple[str, ...] = ()
    base_url: str | None = None
    started_version: int | None = None
    replayed_from: str | None = None
    dispatches: int = 0
    history: tuple[JobEvent, ...] = ()
    history_from: int = 1
    dead_letter: str | None = None
    type_missed_at: int | None = None
    meant: bytes | None = None
    legs: Legs = Legs()
    counted: tuple[str, ...] = ()
    priority: Priority = Priority.NORMAL
    slot: Slot = Slot.NONE
    home_shard: str | None = None
    trace: TraceContext | None = None

    @property
    def done(self) -> bool:
        """Whether the job has ended, one way or another."""
        return self.status.final

    @property
    def counted_attempt(self) -> int:
        """The number of the attempt, as clients and handlers are told it: all legs of one attempt have the same."""
        between_legs = self.legs.count > 0 and self.legs.last == self.attempt
        return self.attempt - self.legs.count + between_legs

    @property
    def counted_max_attempts(self) -> int:
        """How many attempts the job has, as clients and handlers are told it."""
        return self.max_attempts - self.legs.count

    @property
    def parked(self) -> bool:
        """Whether it waits for a slot of its tenant, and no message is sent for it."""
        return self.slot is Slot.AWAITED

    @property
    def usual_shard(self) -> str:
        """The partition of the `due` index that it is in while it is not parked."""
        return self.home_shard or self.due_shard

    @property
    def has_artifacts(self) -> bool:
        """Whether clients are shown artifacts: those of all legs, once the job has succeeded."""
        return self.status is Status.SUCCEEDED and (self.artifact_count > 0 or self.legs.kept > 0)

    def gone(self, now: int) -> bool:
        """Whether its retention is over: the row then waits for DynamoDB to delete it, which may take a while."""
        return self.expires_at is not None and now >= self.expires_at

    def queue_ttl_passed(self, now: int) -> bool:
        """Whether its `queue_ttl` has passed."""
        return self.queue_deadline is not None and now >= self.queue_deadline

    @property
    def run_deadline(self) -> int | None:
        """When the attempt that runs now has to end."""
        return None if self.claimed_at is None else self.claimed_at + self.timeout

    @property
    def timeout_seconds(self) -> float:
        """How long an attempt may run."""
        return self.timeout / SECOND
