"""The invariants of every job's row after every write, whoever made it. Each layer of tests checks its rows by these.

A transition of a row that meets the invariants leaves a row that meets them. The proof rests on this, so a test that
begins with a row made by hand must begin with one that meets them.
"""

from __future__ import annotations

from collections.abc import Iterator

from coatcheck.core.job import Job
from coatcheck.core.lifecycle import Slot, Status


def broken_invariants(job: Job) -> list[str]:
    """The invariants that the row breaks, one line each; empty for a correct row."""
    rules = (*_of_what_is_due(job), *_of_the_lease(job), *_of_the_end(job), *_of_attempts(job), *_of_slots(job))
    return [f"{job.id}, {job.status} in version {job.version}: {what}" for what, holds in rules if not holds]


Rule = tuple[str, bool]


def _of_what_is_due(job: Job) -> Iterator[Rule]:
    """The row is the outbox: `due_at` alone finds what is still to be done or notified."""
    due = job.due_at is not None
    yield "it has not ended and has no due_at, so no sweeper ever finds it", job.done or due
    yield f"it is to tell of {job.notify} and has no due_at, so nobody ever does", not job.notify or due
    yield "its history has no number to begin with", job.history_from >= 1


def _of_the_lease(job: Job) -> Iterator[Rule]:
    """An attempt has an owner and a lease exactly while it runs."""
    leased = job.status.active
    yield f"its lease is until {job.lease_until}", leased is (job.lease_until is not None)
    yield f"its owner is {job.owner}", leased is (job.owner is not None)
    yield "it runs and was not claimed", not leased or (job.claimed_at is not None and job.started_at is not None)
    waits = job.status.waiting
    yield f"it does not wait, and is to start at {job.start_at}", waits or job.start_at is None
    yield f"it does not wait, and expires at {job.queue_deadline}", waits or job.queue_deadline is None


def _of_the_end(job: Job) -> Iterator[Rule]:
    """A job that has not ended never expires, and one that has ended does."""
    yield f"its end was at {job.finished_at}", job.done is (job.finished_at is not None)
    yield f"its retention is over at {job.expires_at}", job.done is (job.expires_at is not None)
    yield "it has a result", job.result is None or job.status is Status.SUCCEEDED
    yield "it has artifacts", not job.artifact_count or job.status is Status.SUCCEEDED
    yield "it has an error", job.error is None or (job.done and job.status is not Status.SUCCEEDED)


def _of_attempts(job: Job) -> Iterator[Rule]:
    left = job.max_attempts - job.attempt
    yield f"it is in attempt {job.attempt} of {job.max_attempts}", left >= 0
    yield f"it waits after attempt {job.attempt} of {job.max_attempts}", left > 0 or not job.status.waiting
    yield (
        f"it was started at {job.started_at} in attempt {job.attempt}",
        (job.attempt > 0) is (job.started_at is not None),
    )
    legs = job.legs
    yield f"in attempt {job.attempt} its legs are {legs}", 0 <= legs.count <= legs.last <= job.attempt
    yield f"it runs in the leg {job.attempt} that has ended", not job.status.active or legs.last < job.attempt
    yield f"its legs are {legs}, and artifacts are kept of another", 0 <= legs.kept <= legs.last
    yield f"its legs are {legs}, and none has made the artifacts", (legs.kept > 0) is (legs.artifacts > 0)
    yield f"its legs are {legs} of {job.max_attempts} attempts", job.counted_max_attempts > 0


def _of_slots(job: Job) -> Iterator[Rule]:
    """A slot is held by what runs or was woken to run, and awaited by what is queued."""
    queued = job.status is Status.QUEUED
    may_hold = queued or job.status.active
    yield "it holds a slot, and neither runs nor is to run", job.slot is not Slot.HELD or may_hold
    yield "it is parked, and is not queued", not job.parked or queued
    yield f"it is in shard {job.due_shard} of {job.home_shard}", job.parked is (job.home_shard is not None)
