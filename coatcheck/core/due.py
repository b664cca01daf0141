"""When the sweeper must check a job next. The only timer: every `due_at` is computed here.

A `due_at` is rounded down to 30 s. An early check costs the sweeper one read. But while a change keeps the rounded
time the same, DynamoDB does not rewrite (and bill) the entry in the `due` index: a short job is submitted, claimed and
settled with one entry added and one removed.
"""

from __future__ import annotations

from coatcheck.core.clock import HOUR, MINUTE, SECOND
from coatcheck.core.job import Blob, Job
from coatcheck.core.lifecycle import Status

DISPATCH_GRACE = 60 * SECOND
"""How long after its message was sent a queued job may stay unclaimed before it is sent again."""

MAX_MESSAGE_DELAY = 15 * MINUTE
"""The longest `DelaySeconds` of SQS: https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SendMessage.html"""

LOOKAHEAD = 14 * MINUTE
"""How long before its start a job is sent to the queue, if it waits longer than a queue can delay.

This is the longest delay of a queue less one sweep: the time in which all jobs of one minute have to be sent.
"""

MAX_RETRY_VISIBILITY = 60 * SECOND
"""How long a message may be hidden in its queue for a retry. A hidden message counts as in flight, and a queue allows
120,000 messages in flight: https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/quotas-messages.html
"""

LATE_WRITES = HOUR
"""How long after a job ended a write of one of its attempts may still arrive.

A request that was given up may be carried out all the same, and a worker that was suspended may go on: in Lambda for 15
minutes after its start at most. The rest allows for clocks that differ.
"""

STEP = 30 * SECOND
"""What a `due_at` is rounded down to."""

_MAX_DOUBLINGS = 6


def for_lease(lease_until: int) -> int:
    """When to check whether the lease has expired."""
    return _rounded(lease_until)


def for_dispatch(*, now: int, start_at: int | None, queue_deadline: int | None, dispatches: int) -> int:
    """When to check a job that waits to be claimed and for which `dispatches` messages were sent before.

    The grace period doubles with every message, up to an hour, so that a backlog is not flooded with messages.
    """
    start = max(now, start_at or now)
    if start - now > MAX_MESSAGE_DELAY:
        due = start - LOOKAHEAD
    else:
        due = start + DISPATCH_GRACE * 2 ** min(dispatches, _MAX_DOUBLINGS)
    return _before(queue_deadline, due)


def for_queued(*, now: int, wait: int, queue_deadline: int | None) -> int:
    """When to check again, in `wait` milliseconds, a job that waits to be claimed and gets no message."""
    return _before(queue_deadline, now + wait)


def for_retry(*, now: int, start_at: int) -> int:
    """When to check a job that is to start again at `start_at`: to send its message, or because nobody claimed it."""
    if retry_visibility(now=now, start_at=start_at) is None:
        return _rounded(max(now, start_at - LOOKAHEAD))
    return for_dispatch(now=now, start_at=start_at, queue_deadline=None, dispatches=0)


def for_expiry(expires_at: int) -> int:
    """When to remove what a job that has expired left in the bucket."""
    return _rounded(expires_at + STEP - 1)


def for_removal(job: Job) -> int | None:
    """When to remove what a finished job left in the bucket; None if it left nothing there."""
    assert job.expires_at is not None
    return for_removal_after(job, job.expires_at, result=job.result, artifact_count=job.artifact_count)


def for_removal_after(job: Job, expires_at: int, *, result: Blob | None, artifact_count: int) -> int | None:
    """As `for_removal`, of a job that is about to end with this result and this many artifacts."""
    stored = any(blob is not None and blob.inline is None for blob in (job.input, job.checkpoint, result))
    tidy = job.attempt == 0 or (job.attempt == 1 and result is not None and not artifact_count)
    return for_expiry(expires_at) if stored or not tidy else None


def for_late_writes(job: Job, *, now: int) -> int | None:
    """When to remove again what a job left in the bucket, removed at `now`; None if nothing more can arrive there.

    A job that succeeded in its first attempt has the reply to each of its writes.
    """
    assert job.finished_at is not None
    until = job.finished_at + LATE_WRITES
    confirmed = job.status is Status.SUCCEEDED and job.attempt == 1
    return None if confirmed or now >= until else for_expiry(until)


def message_delay(*, now: int, start_at: int | None) -> int | None:
    """Seconds by which to delay the message of a waiting job; None when no queue can delay that long."""
    wait = max(0, (start_at or now) - now)
    return None if wait > MAX_MESSAGE_DELAY else -(-wait // SECOND)


def _before(queue_deadline: int | None, due: int) -> int:
    """`due`, but no later than the deadline, rounded up: just before it, a check and a message would be in vain."""
    return min(_rounded(due), _rounded(queue_deadline + STEP - 1)) if queue_deadline is not None else _rounded(due)


def retry_visibility(*, now: int, start_at: int) -> int | None:
    """Seconds for which to hide the message of a retry; None when it is to be deleted and sent again."""
    wait = max(0, start_at - now)
    return None if wait > MAX_RETRY_VISIBILITY else -(-wait // SECOND)


def _rounded(at: int) -> int:
    return at - at % STEP
