"""A tenant of which no more than so many jobs run at once, on real stores, from claim to wake-up."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest

from coatcheck.authoring.context import Context
from coatcheck.authoring.retry import RetryLater
from coatcheck.core.aws.dynamodb import transitions
from coatcheck.core.aws.dynamodb.limit_items import change_limits
from coatcheck.core.aws.dynamodb.slot_items import get_slots
from coatcheck.core.aws.sqs import delete, receive
from coatcheck.core.clock import HOUR, MINUTE, SECOND
from coatcheck.core.job import Job, JobError
from coatcheck.core.lifecycle import Slot, Status
from coatcheck.core.priority import Priority
from coatcheck.core.slots import TURNS, Caps
from coatcheck_worker.dependencies import Ack, Redeliver
from tests.aws.worker.worker_harness import Number, WorkerHarness, double
from tests.transports import Fault, FaultyTransport, ProcessDied, crash_at, on, send_after


@pytest.fixture(name="one_at_a_time")
def a_tenant_of_one_slot(harness: WorkerHarness) -> Iterator[WorkerHarness]:
    """One job may run at once. Messages of other tests are gone, and in the end nothing is parked."""
    harness.limited = True
    limit(harness, jobs_running=1)
    sent(harness)
    yield harness
    limit(harness, jobs_running=None)
    for hours in (2, 3):
        harness.clock.ahead = hours * HOUR
        harness.sweep(harness.dependencies(double))


def limit(harness: WorkerHarness, **limits: Any) -> None:
    """Set limits, as an operator does."""
    harness.transport.send(change_limits(harness.settings.table, harness.tenant, limits))


def sent(harness: WorkerHarness) -> list[str]:
    """The ids of the jobs whose messages are in the queue, which is empty then."""
    ids = []
    queue = harness.settings.queues["default"]
    while batch := harness.transport.send(receive(queue, wait=0, limit=10)):
        for message in batch:
            ids += [message.body.split('"job":"')[1].split('"')[0]]
            harness.transport.send(delete(message))
    return ids


def held(harness: WorkerHarness) -> int:
    """How many slots are held."""
    return harness.transport.send(get_slots(harness.settings.table, harness.tenant)).held


def while_it_runs(action: Callable[[], object]) -> Callable[[Number, Context], Number]:
    """A handler that lets something happen while its job runs."""

    def handler(value: Number, _: Context) -> Number:
        action()
        return value

    return handler


def test_the_end_of_a_job_wakes_the_next(one_at_a_time: WorkerHarness) -> None:
    harness = one_at_a_time
    first, second = harness.submit(), harness.submit()
    seen: list[Job] = []

    def try_second() -> None:
        assert harness.run(harness.dependencies(double), second) == Ack()
        seen.append(harness.row(second))

    harness.run(harness.dependencies(while_it_runs(try_second)), first)

    assert (seen[0].status, seen[0].slot) == (Status.QUEUED, Slot.AWAITED)
    assert harness.row(first).status is Status.SUCCEEDED
    assert harness.row(second).slot is Slot.HELD
    assert sent(harness) == [second.id]
    harness.run(harness.dependencies(double), second)
    assert harness.row(second).status is Status.SUCCEEDED
    assert held(harness) == 0


def test_a_message_of_a_parked_job_is_deleted(one_at_a_time: WorkerHarness) -> None:
    harness = one_at_a_time
    parked = park(harness, harness.submit())
    assert harness.run(harness.dependencies(double), parked) == Ack()
    assert harness.row(parked) == parked


def test_a_retry_gives_its_slot_back_while_it_waits(one_at_a_time: WorkerHarness) -> None:
    harness = one_at_a_time
    first, second = harness.submit(), harness.submit()

    def not_now(_: Number, __: Context) -> Number:
        harness.run(harness.dependencies(double), second)
        raise RetryLater(30)

    assert harness.run(harness.dependencies(not_now), first) == Redeliver(30)
    assert (harness.row(first).slot, harness.row(second).slot) == (Slot.NONE, Slot.HELD)
    assert sent(harness) == [second.id]


def test_the_sweeper_frees_the_slot_of_a_lost_worker(one_at_a_time: WorkerHarness) -> None:
    harness = one_at_a_time
    lost, waiting = harness.submit(max_attempts=1), harness.submit()
    with pytest.raises(ProcessDied):
        # it reads the limits and the row before it claims
        harness.run(harness.dependencies(double, crash_at(harness.transport, 2, after=True)), lost)
    assert harness.row(lost).slot is Slot.HELD
    harness.run(harness.dependencies(double), waiting)
    assert harness.row(waiting).parked

    harness.clock.ahead = 61 * SECOND
    assert harness.sweep(harness.dependencies(double))["given up"] == 1
    assert (harness.row(lost).status, harness.row(waiting).slot) == (Status.FAILED, Slot.HELD)
    assert sent(harness) == [waiting.id]


def test_the_sweeper_wakes_what_nobody_has_woken(one_at_a_time: WorkerHarness) -> None:
    harness = one_at_a_time
    parked = park(harness, harness.submit())
    assert sent(harness) == []
    harness.clock.ahead = 61 * SECOND
    assert harness.sweep(harness.dependencies(double))["woken"] == 1
    assert harness.row(parked).slot is Slot.HELD
    assert sent(harness) == [parked.id]


@pytest.mark.parametrize(("limits", "woken"), [({"jobs_running": 3}, 3), ({"jobs_running": None}, 4)])
def test_a_new_limit_holds_from_the_next_visit(
    limits: dict[str, int | None], woken: int, one_at_a_time: WorkerHarness
) -> None:
    harness = one_at_a_time
    jobs = [park(harness, harness.submit()) for _ in range(4)]
    limit(harness, **limits)
    harness.clock.ahead = 61 * SECOND
    assert harness.sweep(harness.dependencies(double))["woken"] == woken
    assert set(sent(harness)) <= {job.id for job in jobs}
    assert sum(not harness.row(job).parked for job in jobs) == woken
    assert held(harness) == (woken if limits["jobs_running"] else 0)


def test_a_parked_job_expires(one_at_a_time: WorkerHarness) -> None:
    harness = one_at_a_time
    limit(harness, jobs_running=0)
    parked = [park(harness, harness.submit(queue_deadline=harness.clock() + ahead)) for ahead in (MINUTE, 60 * MINUTE)]
    harness.clock.ahead = 2 * MINUTE
    assert harness.sweep(harness.dependencies(double))["expired"] == 1
    assert [harness.row(job).status for job in parked] == [Status.EXPIRED, Status.QUEUED]


def test_a_tenant_without_parked_jobs_is_not_visited(one_at_a_time: WorkerHarness) -> None:
    harness = one_at_a_time
    park(harness, harness.submit())
    dependencies = harness.dependencies(double)
    for minutes in (2, 4):
        harness.clock.ahead = minutes * MINUTE
        assert harness.sweep(dependencies)["visited"] == 1
    harness.clock.ahead = 60 * MINUTE
    assert "visited" not in harness.sweep(dependencies)


def test_priorities_take_turns(one_at_a_time: WorkerHarness) -> None:
    harness = one_at_a_time
    for priority in Priority:
        for _ in TURNS:
            park(harness, harness.submit(priority=priority))
    limit(harness, jobs_running=len(TURNS))
    harness.clock.ahead = 61 * SECOND
    harness.sweep(harness.dependencies(double))
    woken = dict.fromkeys(sent(harness))
    rows = [harness.row(replace(harness.submit(), id=job_id)) for job_id in woken]
    assert sorted(row.priority for row in rows) == sorted(TURNS)


def park(harness: WorkerHarness, job: Job) -> Job:
    """Park the job, as a worker does that finds no slot free."""
    caps = Caps(tenant=0)
    parked = harness.transport.send(transitions.park(harness.settings.table, job, caps, now=harness.clock()))
    assert isinstance(parked, Job)
    return parked


@pytest.mark.parametrize("caps", [{}, {"jobs_running": 1}])
def test_a_lease_is_whole_however_long_the_limits_took_to_read(harness: WorkerHarness, caps: dict[str, int]) -> None:
    harness.limited = True
    if caps:
        limit(harness, **caps)
    leases: list[int] = []

    def handler(value: Number, context: Context) -> Number:
        row = harness.row(job)
        leases.append((row.lease_until or 0) - harness.clock())
        return double(value, context)

    def dawdle() -> None:
        harness.clock.ahead += 50 * SECOND

    job = harness.submit()
    slow = FaultyTransport(harness.transport, Fault(send_after(dawdle), on("GetItem"), times=1))
    assert harness.run(harness.dependencies(handler, slow), job) == Ack()
    (lease,) = leases
    assert lease > harness.settings.lease_ms - 10 * SECOND
    limit(harness, jobs_running=None)


def test_a_slot_that_was_given_back_between_the_look_and_the_claim_is_not_used(one_at_a_time: WorkerHarness) -> None:
    harness = one_at_a_time
    table, transport, lease = harness.settings.table, harness.transport, harness.settings.lease_ms
    job, other = harness.submit(), harness.submit()

    def take(one: Job) -> None:
        call = transitions.claim_slot(table, one, Caps(tenant=1), now=harness.clock(), lease=lease, owner="holder")
        assert isinstance(transport.send(call), Job)

    def end_and_take() -> None:
        now, error = harness.clock(), JobError("handler-error", "It failed.")
        ended = transitions.retry(table, harness.row(job), now=now, start_at=now, error=error)
        assert isinstance(transport.send(ended), Job)
        take(other)

    take(job)
    harness.clock.ahead += lease
    overtaken = FaultyTransport(transport, Fault(send_after(end_and_take), on("UpdateItem"), times=1))
    assert harness.run(harness.dependencies(double, overtaken), job) == Ack()
    assert (harness.row(job).status, harness.row(job).slot) == (Status.QUEUED, Slot.AWAITED)
    assert held(harness) == 1
