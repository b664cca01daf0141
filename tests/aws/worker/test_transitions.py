"""Every move against every row it may meet: DynamoDB makes it exactly when the lifecycle table allows it."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from dataclasses import replace
from itertools import product
from typing import Any

import pytest

from coatcheck.aws_transport.protocols import Transport
from coatcheck.core.aws.call import Call
from coatcheck.core.aws.dynamodb import job_items, job_updates, transitions
from coatcheck.core.aws.dynamodb.conditions import OF_COUNTS
from coatcheck.core.aws.dynamodb.history import earlier_events, put_history_page
from coatcheck.core.aws.dynamodb.keys import JobKey
from coatcheck.core.clock import DAY, MINUTE
from coatcheck.core.ids import make_id
from coatcheck.core.invariants import broken_invariants
from coatcheck.core.job import JSON, Blob, Job, JobError
from coatcheck.core.lifecycle import (
    CANCEL,
    CANCEL_WAITING,
    CLAIM,
    CLAIM_SLOT,
    CONTINUE,
    EXPIRE,
    FAIL,
    PARK,
    RELEASE,
    RENEW_LEASE,
    REQUEST_CANCEL,
    RETRY,
    SUCCEED,
    TIME_OUT,
    TRANSITIONS,
    UNPARK,
    WAKE,
    Guard,
    Status,
    Transition,
)
from coatcheck.core.settings import Settings
from coatcheck.core.slots import Caps
from tests.job_rows import NOW, make_job

ERROR = JobError("worker-lost", "gone")
BLOB = Blob.of(b"{}", JSON)

Make = Callable[[str, Job, bool], Call[Any]]
ROOM, NO_ROOM = Caps(tenant=10**6, type=10**6), Caps(tenant=10**6, type=0)

MAKERS: Mapping[Transition, Make] = {
    RELEASE: lambda t, job, _: transitions.release(t, JobKey(job.tenant, job.id), now=NOW),
    CLAIM: lambda t, job, _: transitions.claim(t, JobKey(job.tenant, job.id), now=NOW, lease=MINUTE, owner="me"),
    CLAIM_SLOT: lambda t, job, _: transitions.claim_slot(t, job, ROOM, now=NOW, lease=MINUTE, owner="me"),
    PARK: lambda t, job, _: transitions.park(t, job, NO_ROOM, now=NOW),
    WAKE: lambda t, job, _: transitions.wake(t, job, ROOM, now=NOW),
    UNPARK: lambda t, job, _: transitions.unpark(t, job, now=NOW),
    RENEW_LEASE: lambda t, job, _: transitions.renew_lease(t, job, now=NOW, lease=MINUTE, progress=None),
    RETRY: lambda t, job, sweeper: transitions.retry(t, job, now=NOW, start_at=NOW, error=ERROR, sweeper=sweeper),
    CONTINUE: lambda t, job, _: transitions.continue_later(t, job, now=NOW, checkpoint=BLOB),
    SUCCEED: lambda t, job, _: transitions.settle(t, job, SUCCEED, now=NOW, result=BLOB),
    FAIL: lambda t, job, sweeper: transitions.settle(t, job, FAIL, now=NOW, error=ERROR, sweeper=sweeper),
    TIME_OUT: lambda t, job, sweeper: transitions.settle(t, job, TIME_OUT, now=NOW, error=ERROR, sweeper=sweeper),
    CANCEL_WAITING: lambda t, job, _: transitions.cancel_waiting(t, job, now=NOW, error=ERROR),
    REQUEST_CANCEL: lambda t, job, _: transitions.request_cancel(t, job, now=NOW),
    CANCEL: lambda t, job, sweeper: transitions.cancel(t, job, now=NOW, error=ERROR, sweeper=sweeper),
    EXPIRE: lambda t, job, _: transitions.expire(t, job, now=NOW, error=ERROR),
}

# How a row looks for which exactly one guard does not hold, or (None) for which the usual ones do.
ROWS: Mapping[Guard | None, dict[str, Any]] = {
    None: {},
    Guard.LEASE_EXPIRED: {"lease_until": NOW + 1, "owner": "another", "claimed_at": NOW - 10},
    Guard.START_DUE: {"start_at": NOW + 1},
    Guard.WITHIN_TTL: {"queue_deadline": NOW - 1},
    Guard.ATTEMPTS_LEFT: {"attempt": 3},
    Guard.LEASE_NOT_SHORTENED: {"lease_until": NOW + MINUTE + 1},
}
# How the mover has read it.
READ: Mapping[str, dict[str, Any]] = {
    "it is": {},
    "another attempt": {"attempt": 4, "version": 9},
    "it was before its start": {"version": 4, "attempt": 0, "started_at": None},
}
HELD: Mapping[Guard, Callable[[Job, Job], bool]] = {
    Guard.FENCE: lambda row, mover: row.attempt == mover.attempt,
    Guard.UNCHANGED: lambda row, mover: row.version == mover.version,
    Guard.LEASE_EXPIRED: lambda row, _: row.lease_until is not None and row.lease_until < NOW,
    Guard.START_DUE: lambda row, _: row.start_at is None or row.start_at <= NOW,
    Guard.WITHIN_TTL: lambda row, _: row.queue_deadline is None or row.queue_deadline > NOW,
    Guard.TTL_PASSED: lambda row, _: row.queue_deadline is not None and row.queue_deadline <= NOW,
    Guard.ATTEMPTS_LEFT: lambda row, _: row.attempt < row.max_attempts,
    Guard.LEASE_NOT_SHORTENED: lambda row, _: row.lease_until is not None and row.lease_until <= NOW + MINUTE,
    Guard.NOT_PARKED: lambda row, _: not row.parked,
}


def test_every_move_is_tried_here() -> None:
    assert set(MAKERS) == {transition for transition in TRANSITIONS if transition.sources}
    assert set(HELD) == set(Guard) - OF_COUNTS


@pytest.mark.parametrize("transition", MAKERS, ids=lambda transition: transition.name)
def test_a_move_is_made_exactly_when_the_table_allows_it(
    transition: Transition, aws: Transport, settings: Settings, tenant: str
) -> None:
    by = (False, True) if transition.by_sweeper else (False,)
    for status, row_as, read, sweeper in product(Status, ROWS, READ, by):
        row = replace(in_status(tenant, status), **ROWS[row_as])
        assert aws.send(job_items.put_job(settings.table, row, now=NOW)) is None
        mover = replace(row, **READ[read])

        outcome = aws.send(MAKERS[transition](settings.table, mover, sweeper))

        needed = transition.guards(sweeper=sweeper).get(status)
        allowed = needed is not None and all(HELD[guard](row, mover) for guard in needed - OF_COUNTS)
        case = f"{transition.name} of {status}, row {row_as}, read as {read}, sweeper {sweeper}"
        assert isinstance(outcome, Job) is allowed, case
        if isinstance(outcome, Job):
            assert outcome.status is (transition.target or status), case
            assert outcome.version == row.version + 1, case
            assert [event.type for event in outcome.history[1:]] == ([transition.event] if transition.event else []), (
                case
            )
            # who has no attempt left gives up, which is decided before the move
            decided = transition is not RETRY or row.attempt < row.max_attempts
            assert broken_invariants(outcome) == [] or broken_invariants(row) or not decided, case
        else:
            assert outcome == transitions.TransitionRefused(row), case


def test_a_move_of_a_job_that_is_not_there_is_refused(aws: Transport, settings: Settings, tenant: str) -> None:
    outcome = aws.send(transitions.claim(settings.table, JobKey(tenant, "job_none"), now=NOW, lease=1, owner="me"))
    assert outcome == transitions.TransitionRefused(None)


def test_a_job_is_made_once_until_its_retention_is_over(aws: Transport, settings: Settings, tenant: str) -> None:
    first = replace(in_status(tenant, Status.SUCCEEDED), expires_at=NOW + 10)
    second = replace(first, digest=b"2" * 32, expires_at=None)
    assert aws.send(job_items.put_job(settings.table, first, now=NOW)) is None
    assert aws.send(job_items.put_job(settings.table, second, now=NOW + 9)) == first
    assert aws.send(job_items.put_job(settings.table, second, now=NOW + 10)) is None
    assert aws.send(job_items.get_job(settings.table, JobKey(tenant, first.id))) == second


def test_a_long_history_is_kept_whole_beside_the_row(aws: Transport, settings: Settings, tenant: str) -> None:
    table = settings.table
    row = replace(in_status(tenant, Status.QUEUED), attempt=0, max_attempts=100)
    aws.send(job_items.put_job(table, row, now=NOW))
    key = JobKey(tenant, row.id)
    for n in range(20):
        job = aws.send(transitions.claim(table, key, now=NOW + n, lease=MINUTE, owner="me"))
        assert isinstance(job, Job)
        if transitions.must_spill(job):
            aws.send(put_history_page(table, job))
            aws.send(put_history_page(table, job))
        outcome = aws.send(transitions.retry(table, job, now=NOW + n, start_at=NOW + n, error=ERROR))
        assert isinstance(outcome, Job)
        row = outcome
    events = [*aws.send(earlier_events(table, row)), *row.history]
    assert len(row.history) <= transitions.MAX_HISTORY_IN_ROW + 2
    assert [event.type for event in events] == ["job.queued", *["job.started", "job.retrying"] * 20]
    assert row.history_from + len(row.history) - 1 == len(events)


def test_lists_are_newest_first_in_pages_and_of_one_tenant(aws: Transport, settings: Settings, tenant: str) -> None:
    made = [replace(in_status(tenant, Status.QUEUED), created_at=NOW + n) for n in range(7)]
    for job in made:
        aws.send(job_items.put_job(settings.table, job, now=NOW))
    aws.send(job_items.put_job(settings.table, in_status(f"{tenant}-other", Status.QUEUED), now=NOW))

    seen: list[job_items.JobListEntry] = []
    more = True
    while more:
        after = seen[-1] if seen else None
        page = aws.send(job_items.list_jobs(settings.table, tenant, limit=3, after=after))
        seen += page.entries
        more = page.more
    assert [entry.key.id for entry in seen] == [job.id for job in reversed(made)]

    some = aws.send(job_items.list_jobs(settings.table, tenant, limit=9, created_from=NOW + 2, created_until=NOW + 4))
    assert [entry.created_at for entry in some.entries] == [NOW + 4, NOW + 3, NOW + 2]
    batch = aws.send(job_items.get_jobs(settings.table, [entry.key for entry in some.entries]))
    assert sorted(batch.jobs, key=lambda job: job.created_at) == made[2:5]


def test_only_a_finished_job_is_forgotten(aws: Transport, settings: Settings, tenant: str) -> None:
    for status in Status:
        job = replace(in_status(tenant, status), result=BLOB, metadata={"a": "b"})
        aws.send(job_items.put_job(settings.table, job, now=NOW))
        outcome = aws.send(job_updates.purge_job(settings.table, job, now=NOW))
        assert isinstance(outcome, Job) is status.final
        if isinstance(outcome, Job):
            assert outcome.gone(NOW)
            assert broken_invariants(outcome) == []
            assert (outcome.result, outcome.metadata, outcome.history) == (None, {}, ())
            assert outcome.input.size == 0
            again = aws.send(job_updates.purge_job(settings.table, job, now=NOW + 1))
            assert again == transitions.TransitionRefused(outcome), "a request that arrives twice writes once"


def test_what_belongs_to_a_job_is_deleted_with_it_and_the_row_stays(
    aws: Transport, settings: Settings, tenant: str
) -> None:
    table, job = settings.table, in_status(tenant, Status.SUCCEEDED)
    key = JobKey(tenant, job.id)
    aws.send(job_items.put_job(table, job, now=NOW))
    for first in range(1, 40):
        aws.send(put_history_page(table, replace(job, history_from=first)))
    aws.send(job_items.put_artifacts(table, job, [replace(BLOB, filename="a.json")]))
    deleted = 0
    while beside := aws.send(job_items.list_job_items(table, job)):
        aws.send(job_items.delete_items(table, beside))
        deleted += len(beside)
    assert deleted == 40
    assert aws.send(job_items.get_job(table, key)) == job


def in_status(tenant: str, status: Status) -> Job:
    """A whole row in `status`, with its start to tell of, for which every guard but TTL_PASSED holds."""
    leased = status in {Status.RUNNING, Status.CANCELING}
    held = {"lease_until": NOW - 1, "owner": "another", "claimed_at": NOW - 10} if leased else {}
    ended = {"expires_at": NOW + DAY, "finished_at": NOW} if status.final else {}
    return make_job(
        now=NOW - 1000,
        tenant=tenant,
        id=make_id("job", secrets.token_bytes(16)),
        status=status,
        version=5,
        attempt=2,
        input=BLOB,
        started_at=NOW - 10,
        due_at=NOW,
        notify=("job.started",),
        **held,
        **ended,
    )
