"""Every state of a job's life is explored; no promise is broken, and each guard of the lifecycle table is needed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

import pytest

from coatcheck.calls import Call
from coatcheck.invariants import broken_invariants
from coatcheck.lifecycle import MOVES, SUCCEED, Guard, Move, Status
from coatcheck.record import JSON, Blob, Job, JobError
from coatcheck.table import items, moves
from coatcheck.table.keys import JobKey
from tests.model.check import explore, told
from tests.model.life import Life, by_name
from tests.model.row import Lease, Row, Ttl, written
from tests.rows import NOW, a_job
from tests.simulation.model import Model, ModelDoor

MINUTE = 60_000
ERROR = JobError("worker-lost", "gone")


def test_no_promise_is_broken_in_any_state() -> None:
    explored = explore(Life(by_name(), workers=2, attempts=3))
    assert told(explored) == []
    assert explored.states > 15_000
    assert explored.moves == {move.name for move in MOVES}


def test_without_a_sweeper_a_job_is_lost() -> None:
    explored = explore(Life(by_name(), sweeper=False))
    assert "no final status" in explored.flaw
    assert len(explored.trace) == 1


SECOND_LOCKS = {("cancel", Status.CANCELING, Guard.FENCE)}
"""A job that is canceling keeps its attempt to the end, so nobody but its holder can have been told of the cancel."""

GUARDS = [(m, status, guard) for m in MOVES for status, guards in m.sources.items() for guard in sorted(guards)]


@pytest.mark.parametrize(("move", "status", "guard"), GUARDS, ids=lambda part: getattr(part, "name", None))
def test_every_guard_is_needed(move: Move, status: Status, guard: Guard) -> None:
    sources = {**move.sources, status: move.sources[status] - {guard}}
    explored = explore(Life({**by_name(), move.name: replace(move, sources=sources)}))
    if (move.name, status, guard) in SECOND_LOCKS:
        assert explored.flaw == ""
    else:
        assert told(explored)[-1].strip() == explored.flaw != ""
        assert explored.trace[-1].move == move.name


@pytest.mark.parametrize("move", [move for move in MOVES if move.by_sweeper], ids=lambda move: move.name)
def test_the_sweeper_needs_the_lease_to_be_out(move: Move) -> None:
    explored = explore(Life({**by_name(), move.name: replace(move, by_sweeper=False)}))
    assert "whose lease runs" in explored.flaw
    assert explored.trace[-1].who == "the sweeper"


FENCE = 1
ROWS = [
    Row(status, attempt, 2, lease, start_due=due, ttl=ttl)
    for status in Status
    for attempt in range(3)
    for lease in Lease
    for due in (True, False)
    for ttl in Ttl
]


@pytest.mark.parametrize("sweeper", [False, True])
@pytest.mark.parametrize("move", [move for move in MOVES if move.sources], ids=lambda move: move.name)
def test_the_real_writes_do_what_the_model_does(move: Move, sweeper: bool) -> None:  # noqa: FBT001
    whole = 0
    for row in ROWS:
        job = _job(row)
        outcome = _really_written(move, job, sweeper=sweeper)
        made = _row(outcome) if isinstance(outcome, Job) else None
        assert made == written(move, row, FENCE, sweeper=sweeper), row
        # who has no attempt left gives up, which is decided before the move
        decided = move.name != "retry" or job.attempt < job.max_attempts
        if isinstance(outcome, Job) and decided and not broken_invariants(job):
            assert broken_invariants(outcome) == [], row
            whole += 1
    assert whole > 0


def _really_written(move: Move, job: Job, *, sweeper: bool) -> moves.Outcome:
    door = ModelDoor(Model(), lambda: NOW)
    door.send(items.put_job("table", job, now=NOW))
    return door.send(_call(move, replace(job, attempt=FENCE, version=FENCE), sweeper=sweeper))


def _call(move: Move, job: Job, *, sweeper: bool) -> Call[moves.Outcome]:
    if move.name in _CALLS:
        return _CALLS[move.name](JobKey(job.tenant, job.id), job)
    if move.name == "retry":
        return moves.retry("table", job, now=NOW, start_at=NOW, error=ERROR, sweeper=sweeper)
    return moves.settle("table", job, move, now=NOW, error=ERROR, sweeper=sweeper)


_CALLS: Mapping[str, Callable[[JobKey, Job], Call[moves.Outcome]]] = {
    "release": lambda key, _: moves.release("table", key, now=NOW),
    "claim": lambda key, _: moves.claim("table", key, now=NOW, lease=MINUTE, owner="me"),
    "beat": lambda _, job: moves.beat("table", job, now=NOW, lease=MINUTE, progress=None),
    "continue": lambda _, job: moves.continue_later("table", job, now=NOW, checkpoint=_blob()),
    "succeed": lambda _, job: moves.settle("table", job, SUCCEED, now=NOW, result=_blob()),
    "cancel waiting": lambda _, job: moves.cancel_waiting("table", job, now=NOW, error=ERROR),
    "request cancel": lambda _, job: moves.request_cancel("table", job, now=NOW),
    "expire": lambda _, job: moves.expire("table", job, now=NOW, error=ERROR),
}


def _blob() -> Blob:
    return Blob.of(b"{}", JSON)


def _job(row: Row) -> Job:
    """The row, whose version is its attempt; what it has to tell is its start, if it was started."""
    started = NOW - MINUTE if row.attempt else None
    leased = row.lease is not Lease.NONE
    return a_job(
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
        start_at=None if row.start_due else NOW + MINUTE,
        queue_deadline={Ttl.NONE: None, Ttl.PENDING: NOW + MINUTE, Ttl.PASSED: NOW - 1}[row.ttl],
        lease_until={Lease.NONE: None, Lease.RUNS: NOW + MINUTE, Lease.OUT: NOW - 1}[row.lease],
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
    )
