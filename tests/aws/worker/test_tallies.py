"""What a tenant's tallies say of its jobs, whatever ends in between: never less than there is, nor for long more."""

from __future__ import annotations

import random
import secrets
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

import pytest

from coatcheck import Result
from coatcheck.aws_transport.protocols import Transport
from coatcheck.core import due
from coatcheck.core.aws.call import Call
from coatcheck.core.aws.dynamodb import job_items, job_updates, transitions
from coatcheck.core.aws.dynamodb.usage_items import Demand, get_usage, usage_key
from coatcheck.core.aws.flow import run
from coatcheck.core.clock import DAY
from coatcheck.core.errors import CANCELED
from coatcheck.core.flows.charge import TallyFull, charge
from coatcheck.core.flows.count_job import removed, stopped_waiting
from coatcheck.core.ids import make_id
from coatcheck.core.job import Job, JobError
from coatcheck.core.messages import JobMessage
from coatcheck.core.tallies import WAITING_COUNTS, Tally, stored_input, waiting
from coatcheck_worker.dependencies import Ack
from coatcheck_worker.supervisor.claim import run_job
from coatcheck_worker.sweep.recovery import expire
from tests.aws.worker.worker_harness import WorkerHarness, is_heartbeat, with_lease
from tests.job_rows import make_job
from tests.transports import Fault, FaultyTransport, ProcessDied, crash_at, on, repeat, send_after

# both emulators keep the item alike (tests/aws/test_usage_buckets.py)
pytestmark = pytest.mark.parametrize("emulator_url", ["ministack"], indirect=True, scope="session")

PATIENCE = 10
"""Seconds in which a lease must have been renewed."""

SIZE = 5120
"""Bytes of a result that does not go into the row."""


def large(*_: object) -> Result:
    """What the handler returns."""
    return Result(random.Random(1).randbytes(SIZE), content_type="application/octet-stream")


@dataclass
class Tallied:
    """Jobs of a tenant whose tallies are kept, and what these say."""

    harness: WorkerHarness

    def submit(self, transport: Transport, most: int | None = None, **changes: Any) -> Job:
        """Count a job and write it, as the API does."""
        now = self.harness.clock()
        changes = {"id": make_id("job", secrets.token_bytes(16))} | changes
        due_at = due.for_dispatch(now=now, start_at=None, queue_deadline=None, dispatches=0)
        job = make_job(now=now, tenant=self.harness.tenant, due_at=due_at, counted=tuple(Tally), **changes)
        demand = Demand((waiting(job, most), stored_input(job)))
        table = self.harness.settings.table
        run(transport, charge(table, self.harness.tenant, demand, now=now))
        transport.send(job_items.put_job(table, job, now=now))
        return job

    def work(self, transport: Transport, job: Job) -> None:
        """Run the job."""
        run_job(self.harness.dependencies(large, transport, Result), JobMessage(tenant=job.tenant, job=job.id))

    def total(self, tally: Tally) -> int:
        """What a tally says."""
        return self.harness.transport.send(get_usage(self.harness.settings.table, self.harness.tenant)).total(tally)

    def rows(self) -> list[Job]:
        """The tenant's jobs."""
        table = self.harness.settings.table
        entries = self.harness.transport.send(job_items.list_jobs(table, self.harness.tenant, limit=100)).entries
        found = [self.harness.transport.send(job_items.get_job(table, entry.key)) for entry in entries]
        return [job for job in found if job]

    def waiting_now(self) -> int:
        """How many jobs really wait."""
        return sum(job.started_at is None and not job.done for job in self.rows())

    def stored_now(self) -> int:
        """How many bytes of results really are in the bucket."""
        return sum(job.result.size for job in self.rows() if job.result and job.result.inline is None)


@pytest.fixture
def tallied(harness: WorkerHarness) -> Tallied:
    return Tallied(harness)


def life(tallied: Tallied, transport: Transport) -> None:
    """A job from its submit to its result."""
    with suppress(ProcessDied):
        tallied.work(transport, tallied.submit(transport))


def test_a_job_waits_until_it_is_claimed_and_its_result_is_stored_then(tallied: Tallied) -> None:
    transport = FaultyTransport(tallied.harness.transport)
    job = tallied.submit(transport)
    assert (tallied.total(Tally.WAITING), tallied.total(Tally.STORED)) == (1, 0)
    tallied.work(transport, job)
    assert (tallied.total(Tally.WAITING), tallied.total(Tally.STORED)) == (0, SIZE)
    assert tallied.stored_now() == SIZE
    run(transport, removed(tallied.harness.settings.table, tallied.rows()[0]))
    assert tallied.total(Tally.STORED) == 0


def test_a_job_whose_tally_is_slow_keeps_its_lease(tallied: Tallied) -> None:
    def wait_for_a_beat() -> None:
        until = time.monotonic() + PATIENCE
        while not any(map(is_heartbeat, transport.calls)):
            assert time.monotonic() < until
            time.sleep(0.02)

    def names_the_tally(call: Call[Any]) -> bool:
        return call.params.get("Key") == usage_key(tallied.harness.tenant)

    dependencies = with_lease(tallied.harness.dependencies(large, output=Result), 4)
    job = tallied.submit(tallied.harness.transport)
    transport = FaultyTransport(tallied.harness.transport, Fault(send_after(wait_for_a_beat), names_the_tally, times=1))
    assert tallied.harness.run(replace(dependencies, transport=transport), job) == Ack()


def test_a_job_in_no_tally_costs_nothing(tallied: Tallied) -> None:
    transport = FaultyTransport(tallied.harness.transport)
    tallied.work(transport, tallied.harness.submit())
    assert not [call for call in transport.calls if "usage" in str(call.params.get("Key"))]


@pytest.mark.parametrize("after", [False, True])
def test_whichever_call_a_process_dies_at(tallied: Tallied, *, after: bool) -> None:
    clean = FaultyTransport(tallied.harness.transport)
    life(tallied, clean)
    tallied.submit(tallied.harness.transport)
    for at in range(len(clean.calls)):
        life(tallied, crash_at(tallied.harness.transport, at, after=after))
        assert tallied.total(Tally.WAITING) >= tallied.waiting_now()
        assert tallied.total(Tally.STORED) >= tallied.stored_now()
    crashes = len(clean.calls)
    assert tallied.total(Tally.WAITING) - tallied.waiting_now() <= 2
    assert tallied.total(Tally.STORED) - tallied.stored_now() <= SIZE * crashes

    # what leaked is gone when its day is over
    tallied.harness.clock.ahead += WAITING_COUNTS + 2 * DAY
    tallied.submit(tallied.harness.transport)
    assert tallied.total(Tally.WAITING) == 1
    assert tallied.total(Tally.STORED) == 0


def test_an_answer_that_is_lost_gives_nothing_back_twice(tallied: Tallied) -> None:
    tallied.submit(tallied.harness.transport)
    life(tallied, FaultyTransport(tallied.harness.transport, Fault(repeat, on("UpdateItem"))))
    assert tallied.total(Tally.WAITING) >= tallied.waiting_now() == 1


def test_a_job_is_not_taken_for_the_one_that_had_its_id_before(tallied: Tallied) -> None:
    transport, table = tallied.harness.transport, tallied.harness.settings.table
    for _ in range(2):
        job = tallied.submit(transport, id="job_" + "0" * 26)
        tallied.work(transport, job)
        tallied.harness.clock.ahead += DAY
        transport.send(job_updates.purge_job(table, tallied.rows()[0], now=tallied.harness.clock()))
    assert tallied.total(Tally.WAITING) == 0


def test_a_full_tally_has_room_again_when_a_part_is_over(tallied: Tallied) -> None:
    for _ in range(2):
        tallied.submit(tallied.harness.transport, most=2)
    with pytest.raises(TallyFull) as full:
        tallied.submit(tallied.harness.transport, most=2)
    assert (full.value.total, full.value.count.most) == (2, 2)
    tallied.harness.clock.ahead += WAITING_COUNTS + DAY
    tallied.submit(tallied.harness.transport, most=2)
    assert tallied.total(Tally.WAITING) == 1


def test_what_is_more_than_all_is_refused_by_an_empty_tally_too(tallied: Tallied) -> None:
    with pytest.raises(TallyFull) as full:
        tallied.submit(tallied.harness.transport, most=0)
    assert (full.value.total, full.value.count.most) == (0, 0)
    assert tallied.total(Tally.WAITING) == 0


def _cancel(harness: WorkerHarness, job: Job) -> None:
    error = JobError(CANCELED.code, "")
    outcome = harness.transport.send(
        transitions.cancel_waiting(harness.settings.table, job, now=harness.clock(), error=error)
    )
    assert isinstance(outcome, Job)
    run(harness.transport, stopped_waiting(harness.settings.table, outcome))


def _expire(harness: WorkerHarness, job: Job) -> None:
    assert expire(harness.dependencies(large), job) == "expired"


@pytest.mark.parametrize("end", [_cancel, _expire])
def test_a_job_that_ends_before_it_starts_waits_no_more(
    tallied: Tallied, end: Callable[[WorkerHarness, Job], None]
) -> None:
    job = tallied.submit(tallied.harness.transport, queue_deadline=tallied.harness.clock())
    end(tallied.harness, job)
    assert (tallied.total(Tally.WAITING), tallied.waiting_now()) == (0, 0)
