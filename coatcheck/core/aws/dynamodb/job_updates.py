"""Conditional writes that change a job's row and are no moves: its status stays what it was."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from coatcheck.core import due
from coatcheck.core.aws.call import Call
from coatcheck.core.aws.dynamodb.codec import encode_events, encode_field
from coatcheck.core.aws.dynamodb.expressions import Expression
from coatcheck.core.aws.dynamodb.transitions import TransitionOutcome, must_spill, ttl, update_if
from coatcheck.core.job import Blob, Job, JobError, JobEvent
from coatcheck.core.lifecycle import Status
from coatcheck.core.shards import removal_shard


def postpone(
    table: str, job: Job, *, due_at: int | None, dispatches: int, for_removal: bool = False
) -> Call[TransitionOutcome]:
    """Note when the sweeper has to look next. Not a move, and nothing a client sees: `version` stays.

    Refused when an event of the job was notified meanwhile, which does not change `version` either.

    `for_removal`: nothing but bytes is left of the job, and it is looked for among those from now on. Never (None) is
    for a job that has ended and of which nothing is left to tell: what `notify` still names will not happen.
    """
    e = Expression()
    notify_attribute = e.name("notify")
    same = (
        f"{notify_attribute} = {e.value(encode_field('notify', job.notify))}"
        if job.notify
        else f"attribute_not_exists({notify_attribute})"
    )
    unchanged = f"{e.name('version')} = {e.number(job.version)} AND {same}"
    e.assign("due_at", None if due_at is None else {"N": str(due_at)})
    if due_at is None:
        e.assign("notify", None)
    if for_removal:
        e.assign("due_shard", {"S": removal_shard(job.due_shard)})
    e.assign("dispatches", {"N": str(dispatches)})
    return update_if(table, job, e, unchanged)


def mark_notified(table: str, job: Job, *, remaining: Sequence[str]) -> Call[TransitionOutcome]:
    """Note that its webhooks are on their way, but for those of the events `remaining`. `version` stays.

    Refused when they were noted before. A job that has ended is due again when its retention is over, if ever.
    """
    e = Expression()
    # the version may have changed since: it is the events that count, and that the row still can be read
    known = f"{e.name('status')} IN ({', '.join(e.text(status) for status in Status)})"
    not_yet_notified = f"{known} AND {e.name('notify')} = {e.value(encode_field('notify', job.notify))}"
    e.assign("notify", encode_field("notify", remaining) if remaining else None)
    if job.done:
        due_at = due.for_removal(job)
        e.assign("due_at", None if due_at is None else {"N": str(due_at)})
        e.assign("due_shard", {"S": removal_shard(job.due_shard)})
    return update_if(table, job, e, not_yet_notified)


def should_record_dead_letter(job: Job, message_id: str) -> bool:
    """Whether its history is to record that this message of its was moved to the dead-letter queue.

    Not of a job that runs: it needs no message, and its history is its worker's to write.
    """
    return job.status.waiting and job.dead_letter != message_id and not must_spill(job)


def record_dead_letter(table: str, job: Job, message_id: str, error: JobError, *, now: int) -> Call[TransitionOutcome]:
    """Record that this message was moved to the dead-letter queue, if the row still is as `job` was read."""
    e = Expression()
    unchanged = f"{e.name('version')} = {e.number(job.version)}"
    e.add(f"{e.name('version')} = {e.name('version')} + {e.number(1)}")
    e.assign("updated_at", {"N": str(now)})
    e.assign("dead_letter", {"S": message_id})
    e.append("history", encode_events([JobEvent("job.dead_lettered", now, error)]))
    return update_if(table, job, e, unchanged)


_PURGED_ATTRIBUTES = (
    "result",
    "artifact_count",
    "metadata",
    "webhook",
    "notify",
    "error",
    "progress",
    "checkpoint",
    "history",
)
_PURGED_INPUT = Blob(0, hashlib.sha256(b"").digest(), "application/json")


def is_purged(job: Job) -> bool:
    """Whether `purge_job` was here: every other row has a history."""
    return job.expires_at is not None and not job.history


def purge_job(table: str, job: Job, *, now: int) -> Call[TransitionOutcome]:
    """End the retention of a finished job now: what it was about is removed, the row answers 410 for a while.

    The sweeper then removes what is left of it in the bucket, should the caller die before it has. Refused for a job
    that is forgotten already: a request that arrives twice writes once.
    """
    e = Expression()
    final = ", ".join(e.text(status) for status in sorted(Status.all_final()))
    kept = f"{e.name('status')} IN ({final}) AND attribute_exists({e.name('history')})"
    e.add(f"{e.name('version')} = {e.name('version')} + {e.number(1)}")
    e.assign("updated_at", {"N": str(now)})
    e.assign("expires_at", {"N": str(now)})
    e.assign("ttl", {"N": str(ttl(now))})
    e.assign("due_at", {"N": str(due.for_expiry(now))})
    e.assign("due_shard", {"S": removal_shard(job.due_shard)})
    e.assign("input", encode_field("input", _PURGED_INPUT))
    for attribute in _PURGED_ATTRIBUTES:
        e.assign(attribute, None)
    return update_if(table, job, e, kept)
