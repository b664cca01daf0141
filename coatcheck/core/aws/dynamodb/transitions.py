"""The writes of transitions. Each is made from the lifecycle table: its condition is generated, never written out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from coatcheck.core import due
from coatcheck.core.audit import AuditRecord, job_changed
from coatcheck.core.aws.audited import audited
from coatcheck.core.aws.call import AwsResponse, Call
from coatcheck.core.aws.dynamodb.codec import attribute_name, decode_job, encode_events, encode_field
from coatcheck.core.aws.dynamodb.compatibility import SCHEMA
from coatcheck.core.aws.dynamodb.conditions import Actor, condition
from coatcheck.core.aws.dynamodb.expressions import Expression
from coatcheck.core.aws.dynamodb.keys import JobKey
from coatcheck.core.clock import DAY, SECOND
from coatcheck.core.job import Blob, Job, JobError, JobEvent, Legs, Progress
from coatcheck.core.lifecycle import (
    CANCEL,
    CANCEL_WAITING,
    CLAIM,
    CONTINUE,
    EXPIRE,
    RELEASE,
    RENEW_LEASE,
    REQUEST_CANCEL,
    RETRY,
    SUCCEED,
    Transition,
)
from coatcheck.core.shards import removal_shard

GONE_ROW_RETENTION = DAY
"""How long the row of a job whose retention is over stays to answer 410, in milliseconds."""


@dataclass(frozen=True, slots=True)
class TransitionRefused:
    """The transition was refused: the row does not meet its condition. `job` is the row as it was, if there is one."""

    job: Job | None


TransitionOutcome = Job | TransitionRefused
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
    """The write of `transition`. `changes` maps fields of Job to new values, None to remove."""
    e = _changed(transition, now=now, changes=changes, error=error)
    actor = Actor(now, job, changes.get("lease_until"))
    write = update_if(table, job, e, condition(e, transition, actor, sweeper=sweeper))
    return audited(write, change_by(transition.event))


def _start(
    table: str, key: JobKey, transition: Transition, *, now: int, changes: Mapping[str, Any], sets: Sets = ()
) -> Call[TransitionOutcome]:
    """The write of a transition of whichever job has the key now: a message names no more than the key.

    Only for transitions that start a job. They start what is due, whichever job the message is for; the answer says
    which.
    """
    e = _changed(transition, now=now, changes=changes, error=None)
    for clause in sets:
        e.add(clause(e))
    write = _update(table, key, e, [f"({condition(e, transition, Actor(now))})"])
    return audited(write, change_by(transition.event))


def change_by(event: str | None) -> Callable[[TransitionOutcome], AuditRecord | None]:
    """What the audit log says of a write that made this event happen; nothing of one that is none, as a heartbeat."""

    def describe(outcome: TransitionOutcome) -> AuditRecord | None:
        return job_changed(event, outcome) if event and isinstance(outcome, Job) else None

    return describe


def _changed(transition: Transition, *, now: int, changes: Mapping[str, Any], error: JobError | None) -> Expression:
    e = Expression()
    e.assign("updated_at", {"N": str(now)})
    e.add(f"{e.name('version')} = {e.name('version')} + {e.number(1)}")
    if transition.target is not None:
        e.assign("status", {"S": transition.target})
    for field, value in changes.items():
        e.assign(attribute_name(field), None if value is None else encode_field(field, value))
    if "expires_at" in changes:
        e.assign("ttl", {"N": str(ttl(changes["expires_at"]))})
    if transition.event and "history" not in changes:
        e.append("history", encode_events([JobEvent(transition.event, now, error)]))
    return e


def update_if(table: str, job: Job, e: Expression, holds: str) -> Call[TransitionOutcome]:
    """Make the update that `e` has collected if the condition `holds`; returns the row after it, or as it was.

    The row is changed only if it still belongs to the same job. An id may be used again when its job is gone, even by
    the same call, repeated because the reply was lost.
    """
    created = e.value(encode_field("created_at", job.created_at))
    same = f"{e.name(attribute_name('created_at'))} = {created}"
    return _update(table, JobKey(job.tenant, job.id), e, [same, f"({holds})"])


def _update(table: str, key: JobKey, e: Expression, conditions: Sequence[str]) -> Call[TransitionOutcome]:
    """Reading the answer raises NewerRow: what a newer version wrote is never changed."""
    params = {
        "TableName": table,
        "Key": key.item(),
        "ConditionExpression": " AND ".join([f"attribute_not_exists({e.name(SCHEMA)})", *conditions]),
        **e.update(),
        "ReturnValues": "ALL_NEW",
        "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
    }
    return Call(
        "dynamodb",
        "UpdateItem",
        params,
        read=lambda response: decode_job(response["Attributes"]),
        expected_errors={"ConditionalCheckFailedException": _transition_refused},
    )


def _transition_refused(response: AwsResponse) -> TransitionRefused:
    return TransitionRefused(decode_job(response["Item"]) if response.get("Item") else None)


def release(table: str, key: JobKey, *, now: int) -> Call[TransitionOutcome]:
    """Queue a scheduled job whose time has come; the claim follows immediately."""
    return _start(table, key, RELEASE, now=now, changes={})


def claim(table: str, key: JobKey, *, now: int, lease: int, owner: str) -> Call[TransitionOutcome]:
    """Start the next attempt and hold it for `lease` milliseconds.

    `owner` is unique to this try. When the reply is lost and the write repeated, it distinguishes the claimant from
    others.
    """
    lease_until = now + lease
    changes = {
        "claimed_at": now,
        "lease_until": lease_until,
        "due_at": due.for_lease(lease_until),
        "owner": owner,
        "start_at": None,
        "queue_deadline": None,
        "progress": None,
    }
    sets: Sets = (
        lambda e: f"{e.name('attempt')} = {e.name('attempt')} + {e.number(1)}",
        lambda e: f"{e.name('started_at')} = if_not_exists({e.name('started_at')}, {e.number(now)})",
        lambda e: f"{e.name('started_version')} = if_not_exists({e.name('started_version')}, {e.name('version')})",
    )
    return _start(table, key, CLAIM, now=now, changes=changes, sets=sets)


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
    changes = _final(replace(job, result=result, artifact_count=artifact_count), transition, now=now) | made
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


def _final(job: Job, transition: Transition, *, now: int) -> dict[str, Any]:
    """The changes by which `transition` ends a job; `job` is the job as it will be then.

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
        due_at = due.for_removal(replace(job, expires_at=expires_at))
        return ended | {"due_at": due_at, "due_shard": removal_shard(job.due_shard), "notify": None}
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


def ttl(expires_at: int) -> int:
    """The value of the `ttl` attribute, in seconds, of items that clients see until `expires_at`."""
    return (expires_at + GONE_ROW_RETENTION) // SECOND
