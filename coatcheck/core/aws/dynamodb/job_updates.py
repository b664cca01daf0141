"""Conditional writes that change a job's row but are no transitions: its status stays the same."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from coatcheck.core import due
from coatcheck.core.aws.audited import job_changing
from coatcheck.core.aws.call import Call
from coatcheck.core.aws.dynamodb.codec import encode_events, encode_field
from coatcheck.core.aws.dynamodb.expressions import Expression
from coatcheck.core.aws.dynamodb.proxied_rows import REQUEST
from coatcheck.core.aws.dynamodb.row_writes import TransitionOutcome, changed_job, ttl, update_if
from coatcheck.core.aws.dynamodb.transitions import must_spill
from coatcheck.core.job import Blob, Job, JobError, JobEvent
from coatcheck.core.lifecycle import Status
from coatcheck.core.shards import removal_shard


def postpone(
    table: str, job: Job, *, due_at: int | None, dispatches: int, for_removal: bool = False
) -> Call[TransitionOutcome]:
    """Record when the sweeper has to check next. This is no transition, and clients do not see it: `version` stays.

    Refused when an event of the job was notified in the meantime, which does not change `version` either.

    `for_removal`: the job has only bytes left, so it goes to a removal shard. Never (None) is for a job that has ended
    and has nothing left to notify: the events that `notify` still names will not happen.
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
    """Record that its webhooks are being delivered, except those of the events `remaining`. `version` stays.

    Refused when this was recorded before. A job that has ended is due again when its retention is over, if ever.
    """
    e = Expression()
    # the version may have changed since: what matters is the events, and that the row can still be read
    known = f"{e.name('status')} IN ({', '.join(e.text(status) for status in Status)})"
    not_yet_notified = f"{known} AND {e.name('notify')} = {e.value(encode_field('notify', job.notify))}"
    e.assign("notify", encode_field("notify", remaining) if remaining else None)
    if job.done:
        due_at = due.for_removal(job)
        e.assign("due_at", None if due_at is None else {"N": str(due_at)})
        e.assign("due_shard", {"S": removal_shard(job.due_shard)})
    return update_if(table, job, e, not_yet_notified)


def should_record_dead_letter(job: Job, message_id: str) -> bool:
    """Whether its history is to record that this message of the job was moved to the dead-letter queue.

    This is not recorded for a running job: it needs no message, and only its worker writes its history.
    """
    return job.status.waiting and job.dead_letter != message_id and not must_spill(job)


def record_dead_letter(table: str, job: Job, message_id: str, error: JobError, *, now: int) -> Call[TransitionOutcome]:
    """Record that this message was moved to the dead-letter queue, if the row is still as it was read in `job`."""
    e = Expression()
    unchanged = f"{e.name('version')} = {e.number(job.version)}"
    e.add(f"{e.name('version')} = {e.name('version')} + {e.number(1)}")
    e.assign("updated_at", {"N": str(now)})
    e.assign("dead_letter", {"S": message_id})
    e.append("history", encode_events([JobEvent("job.dead_lettered", now, error)]))
    return job_changing(update_if(table, job, e, unchanged), "job.dead_lettered", changed_job)


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
    REQUEST,
)
_PURGED_INPUT = Blob(0, hashlib.sha256(b"").digest(), "application/json")


def is_purged(job: Job) -> bool:
    """Whether `purge_job` has purged the job: every other row has a history."""
    return job.expires_at is not None and not job.history


def purge_job(table: str, job: Job, *, now: int) -> Call[TransitionOutcome]:
    """End the retention of a finished job now: its contents are removed, and the row answers 410 for a while.

    The sweeper then removes what is left of it in the bucket, if the caller dies before it has done so. Refused for a
    job whose retention is already over: a request that arrives twice writes once.
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
    # where it follows from the request, which goes too
    e.assign("digest", encode_field("digest", job.digest))
    for attribute in _PURGED_ATTRIBUTES:
        e.assign(attribute, None)
    return job_changing(update_if(table, job, e, kept), "job.deleted", changed_job)
