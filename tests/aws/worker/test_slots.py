"""Slots of a tenant: each write that takes one or gives one back counts it, in the same transaction."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from coatcheck.aws_transport.protocols import Transport
from coatcheck.core.aws.call import Call
from coatcheck.core.aws.dynamodb import job_items, transitions
from coatcheck.core.aws.dynamodb.keys import JobKey
from coatcheck.core.aws.dynamodb.slot_items import get_slots, parked_jobs
from coatcheck.core.clock import DAY, HOUR, MINUTE
from coatcheck.core.ids import make_id
from coatcheck.core.invariants import broken_invariants
from coatcheck.core.job import JSON, Blob, Job, JobError
from coatcheck.core.lifecycle import CANCEL, FAIL, SUCCEED, TIME_OUT, Slot, Status
from coatcheck.core.priority import Priority
from coatcheck.core.settings import Settings
from coatcheck.core.slots import Caps, Group, SlotCounts, Turn
from tests.job_rows import NOW, make_job

ERROR = JobError("worker-lost", "gone")
BLOB = Blob.of(b"{}", JSON)
ONE = Caps(tenant=1)
NONE_FREE = Caps(tenant=0)
TYPE = "test.job"

Write = Callable[[str, Job], Call[Any]]

GIVES_BACK: Mapping[str, tuple[Status, Write]] = {
    "retry": (Status.RUNNING, lambda t, job: transitions.retry(t, job, now=NOW, start_at=NOW, error=ERROR)),
    "continue": (Status.RUNNING, lambda t, job: transitions.continue_later(t, job, now=NOW, checkpoint=BLOB)),
    "succeed": (Status.RUNNING, lambda t, job: transitions.settle(t, job, SUCCEED, now=NOW, result=BLOB)),
    "fail": (Status.RUNNING, lambda t, job: transitions.settle(t, job, FAIL, now=NOW, error=ERROR)),
    "time out": (Status.RUNNING, lambda t, job: transitions.settle(t, job, TIME_OUT, now=NOW, error=ERROR)),
    "cancel": (Status.CANCELING, lambda t, job: transitions.settle(t, job, CANCEL, now=NOW, error=ERROR)),
    "cancel waiting": (Status.QUEUED, lambda t, job: transitions.cancel_waiting(t, job, now=NOW, error=ERROR)),
    "expire": (Status.QUEUED, lambda t, job: transitions.expire(t, job, now=NOW + DAY, error=ERROR)),
}


class Tenant:
    """A tenant of a test, with the jobs that it puts there."""

    def __init__(self, aws: Transport, settings: Settings, name: str) -> None:
        self._aws, self._table, self.name = aws, settings.table, name

    def queued(self, **changes: Any) -> Job:
        """A job that waits."""
        job = make_job(tenant=self.name, id=make_id("job", secrets.token_bytes(16)), due_at=NOW, **changes)
        assert self.send(lambda t: job_items.put_job(t, job, now=NOW)) is None
        return job

    def send(self, make: Callable[[str], Call[Any]]) -> Any:
        """Send a call that is made for the table."""
        return self._aws.send(make(self._table))

    def claim(self, job: Job, caps: Caps = ONE) -> Any:
        """Claim it with a slot."""
        return self.send(lambda t: transitions.claim_slot(t, job, caps, now=NOW, lease=MINUTE, owner="me"))

    def park(self, job: Job, caps: Caps = NONE_FREE) -> Any:
        """Park it."""
        return self.send(lambda t: transitions.park(t, job, caps, now=NOW))

    def wake(self, job: Job, caps: Caps = ONE) -> Any:
        """Wake it."""
        return self.send(lambda t: transitions.wake(t, job, caps, now=NOW))

    def row(self, job: Job) -> Job:
        """The row as it is."""
        found: Job = self.send(lambda t: job_items.get_job(t, JobKey(job.tenant, job.id)))
        return found

    @property
    def counts(self) -> SlotCounts:
        """What is counted, without what is none."""
        counts: SlotCounts = self.send(lambda t: get_slots(t, self.name))
        return SlotCounts(counts.held, {name: n for name, n in counts.held_by_type.items() if n}, counts.parked)


@pytest.fixture(name="tenant")
def a_tenant(aws: Transport, settings: Settings) -> Tenant:
    return Tenant(aws, settings, f"t-{secrets.token_hex(6)}")


def test_as_many_are_claimed_as_may_run(tenant: Tenant) -> None:
    first, second = tenant.queued(), tenant.queued()
    claimed = tenant.claim(first)
    assert claimed == tenant.row(first)
    assert (claimed.status, claimed.slot, claimed.attempt) == (Status.RUNNING, Slot.HELD, 1)
    assert broken_invariants(claimed) == []
    assert tenant.claim(second) == transitions.SlotsChanged()
    assert tenant.row(second) == second
    assert tenant.counts == SlotCounts(1, {TYPE: 1})


def test_a_type_has_slots_of_its_own(tenant: Tenant) -> None:
    caps = Caps(tenant=2, type=1)
    assert isinstance(tenant.claim(tenant.queued(), caps), Job)
    assert tenant.claim(tenant.queued(), caps) == transitions.SlotsChanged()
    assert isinstance(tenant.claim(tenant.queued(type="test.other"), caps), Job)
    assert tenant.claim(tenant.queued(type="test.third"), caps) == transitions.SlotsChanged()
    assert tenant.counts == SlotCounts(2, {TYPE: 1, "test.other": 1})


def test_what_was_claimed_meanwhile_is_not_claimed_again(tenant: Tenant) -> None:
    job = tenant.queued()
    claimed = tenant.claim(job, Caps(tenant=5))
    assert tenant.claim(job, Caps(tenant=5)) == transitions.TransitionRefused(claimed)
    assert tenant.counts == SlotCounts(1, {TYPE: 1})


def test_a_job_is_parked_only_while_no_slot_is_free(tenant: Tenant) -> None:
    job = tenant.queued()
    assert tenant.park(job, ONE) == transitions.SlotsChanged()
    tenant.claim(tenant.queued())
    parked = tenant.park(job, ONE)
    assert parked == tenant.row(job)
    assert (parked.status, parked.slot, parked.home_shard) == (Status.QUEUED, Slot.AWAITED, job.due_shard)
    assert broken_invariants(parked) == []
    assert tenant.counts == SlotCounts(1, {TYPE: 1}, {Group.of(job): 1})


def test_a_parked_job_is_claimed_only_when_it_was_woken(tenant: Tenant) -> None:
    job = tenant.queued()
    parked = tenant.park(job)
    key = JobKey(job.tenant, job.id)
    assert tenant.send(lambda t: transitions.claim(t, key, now=NOW, lease=MINUTE, owner="me")) == (
        transitions.TransitionRefused(parked)
    )
    woken = tenant.wake(parked)
    assert woken == tenant.row(job)
    assert (woken.slot, woken.due_shard, woken.home_shard) == (Slot.HELD, job.due_shard, None)
    assert tenant.wake(parked) == transitions.TransitionRefused(woken)
    claimed = tenant.send(lambda t: transitions.claim(t, key, now=NOW, lease=MINUTE, owner="me"))
    assert (claimed.status, claimed.slot) == (Status.RUNNING, Slot.HELD)
    assert tenant.counts == SlotCounts(1, {TYPE: 1})


def test_a_job_is_woken_only_for_a_slot_that_is_free(tenant: Tenant) -> None:
    tenant.claim(tenant.queued())
    parked = tenant.park(tenant.queued())
    assert tenant.wake(parked) == transitions.SlotsChanged()
    freed = tenant.send(lambda t: transitions.unpark(t, parked, now=NOW))
    assert freed == tenant.row(parked)
    assert (freed.slot, freed.due_shard) == (Slot.NONE, parked.home_shard)
    assert tenant.counts == SlotCounts(1, {TYPE: 1})


@pytest.mark.parametrize("name", GIVES_BACK)
def test_whatever_ends_an_attempt_gives_its_slot_back(name: str, tenant: Tenant) -> None:
    status, write = GIVES_BACK[name]
    deadline = NOW + HOUR if name == "expire" else None
    other = tenant.claim(tenant.queued(), Caps(tenant=2))
    waiting = tenant.queued(queue_deadline=deadline)
    job = (
        tenant.wake(tenant.park(waiting), Caps(tenant=2)) if status is Status.QUEUED else tenant.claim(waiting, Caps(2))
    )
    if status is Status.CANCELING:
        job = tenant.send(lambda t: transitions.request_cancel(t, job, now=NOW))
    assert tenant.counts == SlotCounts(2, {TYPE: 2})

    ended = tenant.send(lambda t: write(t, job))

    assert ended == tenant.row(job)
    assert (ended.slot, broken_invariants(ended)) == (Slot.NONE, [])
    assert tenant.counts == SlotCounts(1, {TYPE: 1})
    assert isinstance(tenant.send(lambda t: write(t, job)), transitions.TransitionRefused)
    assert tenant.counts == SlotCounts(1, {TYPE: 1}), "what arrives twice is counted once"
    assert tenant.row(other).slot is Slot.HELD


@pytest.mark.parametrize("name", ["cancel waiting", "expire"])
def test_a_parked_job_ends_and_is_counted_no_more(name: str, tenant: Tenant) -> None:
    parked = tenant.park(tenant.queued(queue_deadline=NOW + HOUR))
    ended = tenant.send(lambda t: GIVES_BACK[name][1](t, parked))
    assert ended == tenant.row(parked)
    assert (ended.slot, ended.home_shard, broken_invariants(ended)) == (Slot.NONE, None, [])
    assert tenant.counts == SlotCounts()


def test_what_was_parked_meanwhile_does_not_expire_as_it_was_read(tenant: Tenant) -> None:
    read = tenant.queued(queue_deadline=NOW + HOUR)
    parked = tenant.park(read)
    expired = tenant.send(lambda t: transitions.expire(t, read, now=NOW + DAY, error=ERROR))
    assert expired == transitions.TransitionRefused(parked)
    assert tenant.counts == SlotCounts(parked={Group.of(read): 1})


def test_parked_jobs_are_found_in_their_order(tenant: Tenant) -> None:
    made = [
        tenant.park(tenant.queued(now=NOW + after, queue_deadline=deadline, priority=Priority.HIGH))
        for after, deadline in ((3, None), (1, None), (2, NOW + 9), (4, NOW + 8))
    ]
    tenant.park(tenant.queued(type="test.other", priority=Priority.HIGH))
    group = Group(Priority.HIGH, TYPE)

    def found(*, timed: bool) -> list[str]:
        turn = Turn([group], timed=timed)
        return [key.id for _, key in tenant.send(lambda t: parked_jobs(t, tenant.name, group, turn, limit=9))]

    assert found(timed=False) == [made[1].id, made[0].id]
    assert found(timed=True) == [made[3].id, made[2].id]
    assert tenant.counts.parked == {group: 4, Group(Priority.HIGH, "test.other"): 1}
