"""The writes of transitions. Each is made from the lifecycle table: its condition is generated, never written out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from coatcheck.core import due
from coatcheck.core.aws.audited import job_changing
from coatcheck.core.aws.call import Call
from coatcheck.core.aws.dynamodb import slot_items
from coatcheck.core.aws.dynamodb.conditions import OF_COUNTS, Actor, condition
from coatcheck.core.aws.dynamodb.expressions import Expression
from coatcheck.core.aws.dynamodb.keys import JobKey
from coatcheck.core.aws.dynamodb.row_writes import (
    RowWrite,
    SlotsChanged,
    TransitionOutcome,
    TransitionRefused,
    applied,
    changed,
    changed_job,
    update,
    update_by_room,
    update_with_counts,
)
from coatcheck.core.job import Blob, Job, JobError, JobEvent, Legs, Progress
from coatcheck.core.lifecycle import (
    CANCEL,
    CANCEL_WAITING,
    CLAIM,
    CLAIM_SLOT,
    CONTINUE,
    EXPIRE,
    PARK,
    RELEASE,
    RENEW_LEASE,
    REQUEST_CANCEL,
    RETRY,
    SUCCEED,
    UNPARK,
    WAKE,
    Slot,
    Transition,
)
from coatcheck.core.shards import removal_shard
from coatcheck.core.slots import Caps, Group, parked_due_at

__all__ = ["SlotsChanged", "TransitionOutcome", "TransitionRefused"]

Sets = Sequence[Callable[[Expression], str]]


def _make(
    table: str,
    job: Job,
    transition: Transition,
    *,
    now: int,
    changes: Mapping[str, Any],
    sweeper: bool = False,
    error: JobError | None = None,
) -> Call[TransitionOutcome]:
    """The write of `transition`. `changes` maps fields of Job to new values, None to remove.

    Where it changes what the job has of its tenant's slots, it is a transaction that changes their counts too.
    """
    slot = _slot_after(job, transition)
    changes = {**_of_slot(job, slot), **changes}
    write = _row_write(table, job, transition, now=now, changes=changes, sweeper=sweeper, error=error)
    if slot is job.slot:
        return job_changing(update(write), transition.event, changed_job)
    counting = slot_items.count_change(table, job, slot, now=now)
    after = applied(job, transition, now=now, changes=changes, error=error)
    return job_changing(update_with_counts(write, counting, after), transition.event, changed_job)


def _make_by_room(
    table: str, job: Job, transition: Transition, caps: Caps, *, now: int, changes: Mapping[str, Any]
) -> Call[TransitionOutcome | SlotsChanged]:
    """The write of a transition that depends on whether the tenant of `job` has a slot free, under `caps`."""
    slot = _slot_after(job, transition)
    changes = {**_of_slot(job, slot), **changes}
    write = _row_write(table, job, transition, now=now, changes=changes)
    guards = transition.sources.get(job.status, frozenset()) & OF_COUNTS
    counting = slot_items.count_change(table, job, slot, now=now, guards=guards, caps=caps)
    after = applied(job, transition, now=now, changes=changes)
    return job_changing(update_by_room(write, counting, after), transition.event, changed_job)


def _slot_after(job: Job, transition: Transition) -> Slot:
    return job.slot if transition.slot is None else transition.slot


def _of_slot(job: Job, slot: Slot) -> dict[str, Any]:
    """The changes of a row whose job gets `slot`. A job that is no longer parked returns to its usual shard."""
    if slot is job.slot:
        return {}
    if slot is Slot.AWAITED:
        shard = Group.of(job).shard(job.tenant)
        return {"slot": slot, "home_shard": job.due_shard, "due_shard": shard, "due_at": parked_due_at(job)}
    return {"slot": None if slot is Slot.NONE else slot, "home_shard": None, "due_shard": job.usual_shard}


def _row_write(
    table: str,
    job: Job,
    transition: Transition,
    *,
    now: int,
    changes: Mapping[str, Any],
    sweeper: bool = False,
    error: JobError | None = None,
) -> RowWrite:
    e = changed(transition, now=now, changes=changes, error=error)
    actor = Actor(now, job, changes.get("lease_until"))
    return RowWrite.of(table, job, e, condition(e, transition, actor, sweeper=sweeper))


def _start(
    table: str,
    key: JobKey,
    transition: Transition,
    *,
    now: int,
    changes: Mapping[str, Any],
    sets: Sets = (),
    version: int | None = None,
) -> Call[TransitionOutcome]:
    """The write of a transition of whichever job has the key now: a message names no more than the key.

    Only for transitions that start a job, and leave it the slot that it has. They start what is due, whichever job the
    message is for; the answer says which. With a `version`, the row must still have it.
    """
    e = changed(transition, now=now, changes=changes, error=None)
    for clause in sets:
        e.add(clause(e))
    conditions = [f"({condition(e, transition, Actor(now))})"]
    if version is not None:
        conditions.append(f"{e.name('version')} = {e.number(version)}")
    return job_changing(update(RowWrite(table, key, e, conditions)), transition.event, changed_job)


def release(table: str, key: JobKey, *, now: int) -> Call[TransitionOutcome]:
    """Queue a scheduled job whose time has come; the claim follows immediately."""
    return _start(table, key, RELEASE, now=now, changes={})


def claim(
    table: str, key: JobKey, *, now: int, lease: int, owner: str, version: int | None = None
) -> Call[TransitionOutcome]:
    """Start the next attempt and hold it for `lease` milliseconds; with a `version`, only if the row still has it.

    `owner` is unique to this try. When the reply is lost and the write repeated, it distinguishes the claimant from
    others.
    """
    changes = _held(now=now, lease=lease, owner=owner)
    sets: Sets = (
        lambda e: f"{e.name('attempt')} = {e.name('attempt')} + {e.number(1)}",
        lambda e: f"{e.name('started_at')} = if_not_exists({e.name('started_at')}, {e.number(now)})",
        lambda e: f"{e.name('started_version')} = if_not_exists({e.name('started_version')}, {e.name('version')})",
    )
    return _start(table, key, CLAIM, now=now, changes=changes, sets=sets, version=version)


def _held(*, now: int, lease: int, owner: str) -> dict[str, Any]:
    return {
        "claimed_at": now,
        "lease_until": now + lease,
        "due_at": due.for_lease(now + lease),
        "owner": owner,
        "start_at": None,
        "queue_deadline": None,
        "progress": None,
    }


def claim_slot(
    table: str, job: Job, caps: Caps, *, now: int, lease: int, owner: str
) -> Call[TransitionOutcome | SlotsChanged]:
    """As `claim`, of a job that was read, with a slot of its tenant; SlotsChanged if none is free."""
    started = {
        "attempt": job.attempt + 1,
        "started_at": job.started_at or now,
        "started_version": job.started_version or job.version,
    }
    changes = _held(now=now, lease=lease, owner=owner) | started
    return _make_by_room(table, job, CLAIM_SLOT, caps, now=now, changes=changes)


def park(table: str, job: Job, caps: Caps, *, now: int) -> Call[TransitionOutcome | SlotsChanged]:
    """Let the job wait, without a message, until it is woken; SlotsChanged if a slot is free now."""
    return _make_by_room(table, job, PARK, caps, now=now, changes={})


def wake(table: str, job: Job, caps: Caps, *, now: int) -> Call[TransitionOutcome | SlotsChanged]:
    """Give the parked job a slot; a message is to follow. SlotsChanged if none is free."""
    return _make_by_room(table, job, WAKE, caps, now=now, changes=_woken(job, now))


def unpark(table: str, job: Job, *, now: int) -> Call[TransitionOutcome]:
    """Let the parked job be claimed without a slot, since no limit holds for it any more; a message is to follow."""
    return _make(table, job, UNPARK, now=now, changes=_woken(job, now))


def _woken(job: Job, now: int) -> dict[str, Any]:
    due_at = due.for_dispatch(now=now, start_at=job.start_at, queue_deadline=job.queue_deadline, dispatches=0)
    return {"due_at": due_at, "dispatches": None}


def renew_lease(table: str, job: Job, *, now: int, lease: int, progress: Progress | None) -> Call[TransitionOutcome]:
    """Renew the lease for another `lease` milliseconds and report the progress; the answer shows a cancel request.

    A renewal that arrives after a later one is refused: it would move the lease back.
    """
    lease_until = now + lease
    changes: dict[str, Any] = {"lease_until": lease_until, "due_at": due.for_lease(lease_until)}
    if progress is not None:
        changes["progress"] = progress
    return _make(table, job, RENEW_LEASE, now=now, changes=changes)


_WAITING_AGAIN: Mapping[str, Any] = {"lease_until": None, "owner": None, "claimed_at": None, "progress": None}


def retry(
    table: str,
    job: Job,
    *,
    now: int,
    start_at: int,
    error: JobError,
    counted: bool = True,
    sweeper: bool = False,
    type_missed_at: int | None = None,
) -> Call[TransitionOutcome]:
    """Queue the job for another attempt at `start_at`, for the reason `error`.

    Unless it is `counted`, the attempt that ends is not one of `max_attempts`: the job was returned. A worker that
    lacks its type gives the time since which it is missing; the sweeper does not know it.
    """
    changes = _queued_again(now, start_at) | _history_after_spill(job, JobEvent("job.retrying", now, error))
    if not sweeper:
        changes["type_missed_at"] = type_missed_at
    if not counted:
        changes["max_attempts"] = job.max_attempts + 1
    return _make(table, job, RETRY, now=now, changes=changes, sweeper=sweeper, error=error)


def continue_later(
    table: str, job: Job, *, now: int, checkpoint: Blob, artifact_count: int = 0
) -> Call[TransitionOutcome]:
    """Queue the job for its next leg, which does not count as a new attempt towards `max_attempts`.

    `artifact_count` is how many artifacts this leg made, which `job_items.put_artifacts` has listed.
    """
    before = job.legs
    kept = job.attempt if artifact_count else before.kept
    legs = Legs(before.count + 1, job.attempt, kept, before.artifacts + artifact_count)
    changes = (
        _queued_again(now, now)
        | {"checkpoint": checkpoint, "max_attempts": job.max_attempts + 1, "type_missed_at": None, "legs": legs}
        | _history_after_spill(job, JobEvent("job.continuing", now))
    )
    return _make(table, job, CONTINUE, now=now, changes=changes)


def _queued_again(now: int, start_at: int) -> dict[str, Any]:
    due_at = due.for_retry(now=now, start_at=start_at)
    return {**_WAITING_AGAIN, "start_at": start_at, "due_at": due_at, "dispatches": None}


def settle(
    table: str,
    job: Job,
    transition: Transition,
    *,
    now: int,
    error: JobError | None = None,
    result: Blob | None = None,
    artifact_count: int = 0,
    sweeper: bool = False,
) -> Call[TransitionOutcome]:
    """End the job by `transition`, which must lead to a final status, under the fence of `job.attempt`."""
    made = {"error": error, "result": result, "artifact_count": artifact_count or None}
    changes = _final(job, transition, now=now, result=result, artifact_count=artifact_count) | made
    if transition is SUCCEED:
        changes["progress"] = Progress(1.0)
    return _make(table, job, transition, now=now, changes=changes, sweeper=sweeper, error=error)


def cancel_waiting(table: str, job: Job, *, now: int, error: JobError) -> Call[TransitionOutcome]:
    """Cancel a job that nobody has started."""
    return _make(
        table,
        job,
        CANCEL_WAITING,
        now=now,
        changes=_final(job, CANCEL_WAITING, now=now) | {"error": error},
        error=error,
    )


def request_cancel(table: str, job: Job, *, now: int) -> Call[TransitionOutcome]:
    """Ask the worker that runs the job to stop."""
    return _make(table, job, REQUEST_CANCEL, now=now, changes={})


def cancel(table: str, job: Job, *, now: int, error: JobError, sweeper: bool = False) -> Call[TransitionOutcome]:
    """Complete the cancel: the worker has stopped or is gone."""
    return settle(table, job, CANCEL, now=now, error=error, sweeper=sweeper)


def expire(table: str, job: Job, *, now: int, error: JobError) -> Call[TransitionOutcome]:
    """Expire a job that was not started within its `queue_ttl`."""
    return _make(
        table,
        job,
        EXPIRE,
        now=now,
        changes=_final(job, EXPIRE, now=now) | {"error": error},
        error=error,
    )


def _final(
    job: Job, transition: Transition, *, now: int, result: Blob | None = None, artifact_count: int = 0
) -> dict[str, Any]:
    """The changes by which `transition` ends a job, with this result and this many artifacts.

    Until its events have been notified, the sweeper checks it like a job that waits. If there is nothing to notify,
    `notify` is removed: the events it names can no longer happen.
    """
    expires_at = now + job.retention
    ended: dict[str, Any] = {
        "finished_at": now,
        "expires_at": expires_at,
        "dispatches": None,
        "start_at": None,
        "queue_deadline": None,
        "lease_until": None,
        "owner": None,
    }
    if {transition.event, CLAIM.event if job.started_at else None}.isdisjoint(job.notify):
        due_at = due.for_removal_after(job, expires_at, result=result, artifact_count=artifact_count)
        return ended | {"due_at": due_at, "due_shard": removal_shard(job.usual_shard), "notify": None}
    return ended | {"due_at": due.for_dispatch(now=now, start_at=None, queue_deadline=None, dispatches=0)}


MAX_HISTORY_IN_ROW = 12


def must_spill(job: Job) -> bool:
    """Whether the row's history is full, so that `history.put_history_page` must come before the next requeue."""
    return len(job.history) >= MAX_HISTORY_IN_ROW


def _history_after_spill(job: Job, event: JobEvent) -> dict[str, Any]:
    """The fence protects the history: whoever appends to it also changes the status or the attempt."""
    if not must_spill(job):
        return {}
    return {"history": (event,), "history_from": job.history_from + len(job.history)}
