"""The lifecycle of a job: every status and every transition between them, defined once, as data.

The condition of each DynamoDB write is made from this table (`coatcheck.core.aws.dynamodb.transitions`), the diagram
in the documentation is drawn from it, and the tests enumerate it. Nothing else spells a transition.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum, StrEnum
from typing import assert_never


class Phase(Enum):
    """What a job does in a status: each status is in exactly one phase."""

    WAITING = "no attempt holds the job; a claim or an expiry is to come"
    ACTIVE = "an attempt holds the job, for as long as its lease runs"
    FINAL = "the job has ended, and nothing changes its status any more"


class Status(StrEnum):
    """The status of a job. The five final ones never change."""

    SCHEDULED = "scheduled"
    QUEUED = "queued"
    RUNNING = "running"
    CANCELING = "canceling"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELED = "canceled"
    TIMED_OUT = "timed_out"
    EXPIRED = "expired"

    @property
    def phase(self) -> Phase:
        """The phase that this status is in."""
        match self:
            case Status.SCHEDULED | Status.QUEUED:
                return Phase.WAITING
            case Status.RUNNING | Status.CANCELING:
                return Phase.ACTIVE
            case Status.SUCCEEDED | Status.FAILED | Status.CANCELED | Status.TIMED_OUT | Status.EXPIRED:
                return Phase.FINAL
            case _:
                assert_never(self)

    @property
    def waiting(self) -> bool:
        """Whether the job waits to be claimed."""
        return self.phase is Phase.WAITING

    @property
    def active(self) -> bool:
        """Whether an attempt holds the job, by a lease."""
        return self.phase is Phase.ACTIVE

    @property
    def final(self) -> bool:
        """Whether the job has ended: nothing leaves this status."""
        return self.phase is Phase.FINAL

    @classmethod
    def all_final(cls) -> frozenset[Status]:
        """The statuses in which a job has ended."""
        return frozenset(status for status in cls if status.final)


class Slot(StrEnum):
    """What a job has of the slots of its tenant, where a limit says how many of its jobs may run at once."""

    NONE = "none"
    """Nothing: it does not run, or was started while no limit held for it."""

    HELD = "held"
    """It runs, or was woken to run next, and counts for the limit."""

    AWAITED = "awaited"
    """It is parked until another job gives a slot back."""


class Guard(StrEnum):
    """What must hold of the row, besides its status, for a transition."""

    FENCE = "the attempt is the worker's own"
    UNCHANGED = "the version is the one the mover has read"
    LEASE_EXPIRED = "the lease has run out"
    START_DUE = "the time to start has come"
    WITHIN_TTL = "its queue_ttl has not passed"
    TTL_PASSED = "its queue_ttl has passed"
    ATTEMPTS_LEFT = "attempts are left"
    LEASE_NOT_SHORTENED = "the lease ends no sooner for it"
    NOT_PARKED = "it is not parked"
    ROOM = "its tenant has a slot free"
    NO_ROOM = "its tenant has no slot free"


Sources = Mapping[Status, frozenset[Guard]]


@dataclass(frozen=True, slots=True, eq=False)
class Transition:
    """One way a job's row may change.

    `sources` gives the statuses it starts from, and what else must hold in each. `target` is the status after it (None:
    unchanged). `event` is its name in the job's history (None: not recorded). `by_sweeper`: the sweeper may make the
    transition in place of a dead worker, if the lease has expired too. `slot` is what the job has of its tenant's slots
    after it (None: unchanged): where that changes, the same transaction changes the tenant's counts.
    """

    name: str
    sources: Sources
    target: Status | None
    event: str | None = None
    by_sweeper: bool = False
    slot: Slot | None = None

    def guards(self, *, sweeper: bool = False) -> Sources:
        """The sources, each with its guards for the sweeper or for anyone else."""
        if not sweeper or not self.by_sweeper:
            return self.sources
        return {status: guards | {Guard.LEASE_EXPIRED} for status, guards in self.sources.items()}


def _from(*statuses: Status, when: tuple[Guard, ...] = ()) -> dict[Status, frozenset[Guard]]:
    return dict.fromkeys(statuses, frozenset(when))


_FENCED = (Guard.FENCE,)
_READ = (Guard.UNCHANGED,)

SUBMIT = Transition("submit", {}, Status.QUEUED, "job.queued")
SUBMIT_FOR_LATER = Transition("submit for later", {}, Status.SCHEDULED, "job.scheduled")
RELEASE = Transition("release", _from(Status.SCHEDULED, when=(Guard.START_DUE,)), Status.QUEUED, "job.queued")
CLAIM = Transition(
    "claim",
    _from(Status.QUEUED, when=(Guard.START_DUE, Guard.WITHIN_TTL, Guard.NOT_PARKED))
    | _from(Status.RUNNING, when=(Guard.LEASE_EXPIRED, Guard.ATTEMPTS_LEFT)),
    Status.RUNNING,
    "job.started",
)
CLAIM_SLOT = Transition(
    "claim a slot",
    _from(Status.QUEUED, when=(Guard.UNCHANGED, Guard.START_DUE, Guard.WITHIN_TTL, Guard.ROOM)),
    Status.RUNNING,
    "job.started",
    slot=Slot.HELD,
)
PARK = Transition("park", _from(Status.QUEUED, when=(Guard.UNCHANGED, Guard.NO_ROOM)), None, slot=Slot.AWAITED)
WAKE = Transition("wake", _from(Status.QUEUED, when=(Guard.UNCHANGED, Guard.ROOM)), None, slot=Slot.HELD)
UNPARK = Transition("unpark", _from(Status.QUEUED, when=_READ), None, slot=Slot.NONE)
RENEW_LEASE = Transition(
    "renew lease", _from(Status.RUNNING, Status.CANCELING, when=(Guard.FENCE, Guard.LEASE_NOT_SHORTENED)), None
)
RETRY = Transition(
    "retry", _from(Status.RUNNING, when=_FENCED), Status.QUEUED, "job.retrying", by_sweeper=True, slot=Slot.NONE
)
CONTINUE = Transition("continue", _from(Status.RUNNING, when=_FENCED), Status.QUEUED, "job.continuing", slot=Slot.NONE)
SUCCEED = Transition("succeed", _from(Status.RUNNING, when=_FENCED), Status.SUCCEEDED, "job.succeeded", slot=Slot.NONE)
FAIL = Transition(
    "fail", _from(Status.RUNNING, when=_FENCED), Status.FAILED, "job.failed", by_sweeper=True, slot=Slot.NONE
)
TIME_OUT = Transition(
    "time out", _from(Status.RUNNING, when=_FENCED), Status.TIMED_OUT, "job.timed_out", by_sweeper=True, slot=Slot.NONE
)
CANCEL_WAITING = Transition(
    "cancel waiting",
    _from(Status.SCHEDULED) | _from(Status.QUEUED, when=_READ),
    Status.CANCELED,
    "job.canceled",
    slot=Slot.NONE,
)
REQUEST_CANCEL = Transition("request cancel", _from(Status.RUNNING), Status.CANCELING, "job.canceling")
CANCEL = Transition(
    "cancel", _from(Status.CANCELING, when=_FENCED), Status.CANCELED, "job.canceled", by_sweeper=True, slot=Slot.NONE
)
EXPIRE = Transition(
    "expire",
    _from(Status.SCHEDULED, when=(Guard.TTL_PASSED,)) | _from(Status.QUEUED, when=(Guard.TTL_PASSED, Guard.UNCHANGED)),
    Status.EXPIRED,
    "job.expired",
    slot=Slot.NONE,
)

TRANSITIONS = (
    SUBMIT,
    SUBMIT_FOR_LATER,
    RELEASE,
    CLAIM,
    CLAIM_SLOT,
    PARK,
    WAKE,
    UNPARK,
    RENEW_LEASE,
    RETRY,
    CONTINUE,
    SUCCEED,
    FAIL,
    TIME_OUT,
    CANCEL_WAITING,
    REQUEST_CANCEL,
    CANCEL,
    EXPIRE,
)
