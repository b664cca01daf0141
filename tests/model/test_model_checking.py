"""Every state of a job's life is explored; no promise is broken, and each guard of the lifecycle table is needed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import pytest

from coatcheck.core.aws.call import Call
from coatcheck.core.aws.dynamodb import job_items, transitions
from coatcheck.core.aws.dynamodb.keys import JobKey
from coatcheck.core.invariants import broken_invariants
from coatcheck.core.job import JSON, Blob, Job, JobError, Legs
from coatcheck.core.lifecycle import SUCCEED, TRANSITIONS, Guard, Slot, Status, Transition
from coatcheck.core.slots import Caps
from tests.job_rows import NOW, make_job
from tests.model.check import describe, explore
from tests.model.machine import JobMachine, by_name
from tests.model.row import Lease, Room, Row, Ttl, written
from tests.simulation.model import Model, ModelTransport

MINUTE = 60_000
ERROR = JobError("worker-lost", "gone")


OF_SLOTS = {"claim a slot", "park", "wake", "unpark"}
NEED_LIMITS = {("claim", Guard.NOT_PARKED), ("expire", Guard.UNCHANGED)}
"""Guards that only limits make necessary."""


def limited(table: Mapping[str, Transition], workers: int = 1, attempts: int = 1) -> JobMachine:
    """The life of a job of a tenant that may be limited in how many of its jobs run at once."""
    return JobMachine(table, workers=workers, attempts=attempts, legs=1, limits=True)


def test_no_promise_is_broken_in_any_state() -> None:
    explored = explore(JobMachine(by_name(), workers=2, attempts=3))
    assert describe(explored) == []
    assert explored.states > 15_000
    assert explored.transitions == {transition.name for transition in TRANSITIONS} - OF_SLOTS


def test_no_promise_is_broken_in_any_state_of_a_tenant_with_limits() -> None:
    explored = explore(limited(by_name()))
    assert describe(explored) == []
    assert explored.states > 25_000
    assert explored.transitions == {transition.name for transition in TRANSITIONS}


def test_without_a_sweeper_a_job_is_lost() -> None:
    explored = explore(JobMachine(by_name(), sweeper=False))
    assert "no final status" in explored.violation
    assert len(explored.trace) == 1


SECOND_LOCKS = {("cancel", Status.CANCELING, Guard.FENCE)}
"""A job that is canceling keeps its attempt to the end, so nobody but its holder can have been told of the cancel."""

GUARDS = [(m, status, guard) for m in TRANSITIONS for status, guards in m.sources.items() for guard in sorted(guards)]


@pytest.mark.parametrize(("transition", "status", "guard"), GUARDS, ids=lambda part: getattr(part, "name", None))
def test_every_guard_is_needed(transition: Transition, status: Status, guard: Guard) -> None:
    sources = {**transition.sources, status: transition.sources[status] - {guard}}
    table = {**by_name(), transition.name: replace(transition, sources=sources)}
    needs_limits = transition.name in OF_SLOTS or (transition.name, guard) in NEED_LIMITS
    explored = explore(limited(table, workers=2, attempts=2) if needs_limits else JobMachine(table))
    if (transition.name, status, guard) in SECOND_LOCKS:
        assert explored.violation == ""
    else:
        assert describe(explored)[-1].strip() == explored.violation != ""
        assert explored.trace[-1].transition == transition.name


@pytest.mark.parametrize(
    "transition",
    [transition for transition in TRANSITIONS if transition.by_sweeper],
    ids=lambda transition: transition.name,
)
def test_the_sweeper_needs_the_lease_to_be_out(transition: Transition) -> None:
    explored = explore(JobMachine({**by_name(), transition.name: replace(transition, by_sweeper=False)}))
    assert "whose lease runs" in explored.violation
    assert explored.trace[-1].who == "the sweeper"


FENCE = 1
ROWS = [
    Row(status, attempt, 2, lease, start_due=due, ttl=ttl, leg=leg, slot=slot)
    for status in Status
    for slot in (Slot if status is Status.QUEUED else (Slot.NONE, Slot.HELD) if status.active else (Slot.NONE,))
    for attempt in range(3)
    for leg in range(min(attempt, 1) + 1)
    for lease in Lease
    for due in (True, False)
    for ttl in Ttl
]


@pytest.mark.parametrize("sweeper", [False, True])
@pytest.mark.parametrize(
    "transition",
    [transition for transition in TRANSITIONS if transition.sources],
    ids=lambda transition: transition.name,
)
def test_the_real_writes_do_what_the_model_does(transition: Transition, sweeper: bool) -> None:  # noqa: FBT001
    whole = 0
    for row in ROWS:
        job = _job(row)
        if not _may_be_asked(transition, row):
            continue
        outcome = _really_written(transition, job, sweeper=sweeper)
        made = _row(outcome) if isinstance(outcome, Job) else None
        room = Room.FULL if transition.name == "park" else Room.FREE
        assert made == written(transition, row, FENCE, sweeper=sweeper, slot=row.slot, room=room), row
        # who has no attempt left gives up, which is decided before the move
        decided = transition.name != "retry" or job.attempt < job.max_attempts
        if isinstance(outcome, Job) and decided and not broken_invariants(job):
            assert broken_invariants(outcome) == [], row
            whole += 1
    assert whole > 0


def _may_be_asked(transition: Transition, row: Row) -> bool:
    """Whether the code may ask for a move of a row: it takes a slot for a job without one, and wakes a parked one."""
    return row.slot is _SLOTS_BEFORE.get(transition.name, row.slot)


_SLOTS_BEFORE = {"claim a slot": Slot.NONE, "park": Slot.NONE, "wake": Slot.AWAITED, "unpark": Slot.AWAITED}


def _really_written(transition: Transition, job: Job, *, sweeper: bool) -> Any:
    transport = ModelTransport(Model(), lambda: NOW)
    transport.send(job_items.put_job("table", job, now=NOW))
    outcome = transport.send(_call(transition, replace(job, attempt=FENCE, version=FENCE), sweeper=sweeper))
    if isinstance(outcome, Job):
        assert outcome == transport.send(job_items.get_job("table", JobKey(job.tenant, job.id)))
    return outcome


def _call(transition: Transition, job: Job, *, sweeper: bool) -> Call[Any]:
    if transition.name in _CALLS:
        return _CALLS[transition.name](JobKey(job.tenant, job.id), job)
    if transition.name == "retry":
        return transitions.retry("table", job, now=NOW, start_at=NOW, error=ERROR, sweeper=sweeper)
    return transitions.settle("table", job, transition, now=NOW, error=ERROR, sweeper=sweeper)


_CALLS: Mapping[str, Callable[[JobKey, Job], Call[Any]]] = {
    "release": lambda key, _: transitions.release("table", key, now=NOW),
    "claim": lambda key, _: transitions.claim("table", key, now=NOW, lease=MINUTE, owner="me"),
    "claim a slot": lambda _, job: transitions.claim_slot(
        "table", job, Caps(tenant=1), now=NOW, lease=MINUTE, owner="me"
    ),
    "park": lambda _, job: transitions.park("table", job, Caps(tenant=0), now=NOW),
    "wake": lambda _, job: transitions.wake("table", job, Caps(tenant=1), now=NOW),
    "unpark": lambda _, job: transitions.unpark("table", job, now=NOW),
    "renew lease": lambda _, job: transitions.renew_lease("table", job, now=NOW, lease=MINUTE, progress=None),
    "continue": lambda _, job: transitions.continue_later("table", job, now=NOW, checkpoint=_blob(), artifact_count=1),
    "succeed": lambda _, job: transitions.settle("table", job, SUCCEED, now=NOW, result=_blob()),
    "cancel waiting": lambda _, job: transitions.cancel_waiting("table", job, now=NOW, error=ERROR),
    "request cancel": lambda _, job: transitions.request_cancel("table", job, now=NOW),
    "expire": lambda _, job: transitions.expire("table", job, now=NOW, error=ERROR),
}


def _blob() -> Blob:
    return Blob.of(b"{}", JSON)


def _job(row: Row) -> Job:
    """The row, whose version is its attempt; what it has to tell is its start, if it was started."""
    started = NOW - MINUTE if row.attempt else None
    leased = row.lease is not Lease.NONE
    return make_job(
        status=row.status,
        version=row.attempt,
        attempt=row.attempt,
        started_at=started,
        claimed_at=started if leased else None,
        owner="another" if leased else None,
        notify=("job.started",),
        due_at=NOW,
        finished_at=NOW if row.status.final else None,
        expires_at=NOW + MINUTE if row.status.final else None,
        max_attempts=row.max_attempts,
        legs=Legs(1, row.leg, row.leg, 1) if row.leg else Legs(),
        start_at=None if row.start_due else NOW + MINUTE,
        queue_deadline={Ttl.NONE: None, Ttl.PENDING: NOW + MINUTE, Ttl.PASSED: NOW - 1}[row.ttl],
        lease_until={Lease.NONE: None, Lease.RUNS: NOW + MINUTE, Lease.OUT: NOW - 1}[row.lease],
        slot=row.slot,
        home_shard="due-0" if row.slot is Slot.AWAITED else None,
    )


def _row(job: Job) -> Row:
    lease, deadline = job.lease_until, job.queue_deadline
    return Row(
        job.status,
        job.attempt,
        job.max_attempts,
        Lease.NONE if lease is None else Lease.OUT if lease < NOW else Lease.RUNS,
        start_due=job.start_at is None or job.start_at <= NOW,
        ttl=Ttl.NONE if deadline is None else Ttl.PASSED if deadline <= NOW else Ttl.PENDING,
        result=job.attempt if job.result else 0,
        leg=job.legs.kept,
        slot=job.slot,
    )
