"""When the sweeper must look at a job next. The one timer: every `due_at` is computed here.

A `due_at` is rounded down to 30 s. Looking early costs the sweeper one read; but as long as a change leaves the
rounded time as it was, DynamoDB does not rewrite (and bill) the entry in the `due` index: a short job is
submitted, claimed and settled with one entry made and one removed.
"""

from __future__ import annotations

from coatcheck.core.clock import MINUTE, SECOND
from coatcheck.core.job import Job

DISPATCH_GRACE = 60 * SECOND
"""How long after its message was sent a queued job may stay unclaimed before it is sent again."""

MAX_MESSAGE_DELAY = 15 * MINUTE
"""The longest `DelaySeconds` of SQS: https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SendMessage.html"""

LOOKAHEAD = 14 * MINUTE
"""How long before its start a job that waits longer than a queue can delay is handed to the queue.

As early as a queue can delay, less a sweep: the time in which all the jobs of one minute have to be handed over.
"""

MAX_RETRY_VISIBILITY = 60 * SECOND
"""How long a message may be hidden in its queue for a retry: it counts as in flight meanwhile, and of those a queue
takes 120,000: https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/quotas-messages.html
"""

_STEP = 30 * SECOND
_MAX_DOUBLINGS = 6


def for_lease(lease_until: int) -> int:
    """When to look whether the lease has run out."""
    return _rounded(lease_until)


def for_dispatch(*, now: int, start_at: int | None, queue_deadline: int | None, dispatches: int) -> int:
    """When to look at a job that waits to be claimed, of which `dispatches` messages were sent before.

    The grace doubles with every message, up to an hour, so that a backlog is not flooded with wake-ups.
    """
    start = max(now, start_at or now)
    if start - now > MAX_MESSAGE_DELAY:
        due = start - LOOKAHEAD
    else:
        due = start + DISPATCH_GRACE * 2 ** min(dispatches, _MAX_DOUBLINGS)
    return _before(queue_deadline, due)


def for_queued(*, now: int, wait: int, queue_deadline: int | None) -> int:
    """When to look again, in `wait` milliseconds, at a job that waits to be claimed and is sent no message."""
    return _before(queue_deadline, now + wait)


def for_retry(*, now: int, start_at: int) -> int:
    """When to look at a job that is to start again at `start_at`: to send its message, or for want of its claim."""
    if retry_visibility(now=now, start_at=start_at) is None:
        return _rounded(max(now, start_at - LOOKAHEAD))
    return for_dispatch(now=now, start_at=start_at, queue_deadline=None, dispatches=0)


def for_expiry(expires_at: int) -> int:
    """When to remove what a job that has expired left in the bucket."""
    return _rounded(expires_at + _STEP - 1)


def for_removal(job: Job) -> int | None:
    """When to remove what a job that has ended left in the bucket; None if there is nothing of it."""
    stored = any(blob is not None and blob.inline is None for blob in (job.input, job.checkpoint, job.result))
    tidy = job.attempt == 0 or (job.attempt == 1 and job.result is not None and not job.artifact_count)
    assert job.expires_at is not None
    return for_expiry(job.expires_at) if stored or not tidy else None


def message_delay(*, now: int, start_at: int | None) -> int | None:
    """Seconds the message of a waiting job is to be delayed; None when no queue can wait that long."""
    wait = max(0, (start_at or now) - now)
    return None if wait > MAX_MESSAGE_DELAY else -(-wait // SECOND)


def _before(queue_deadline: int | None, due: int) -> int:
    """No later than the deadline, which is rounded up: the sweeper would look, and wake, in vain just before it."""
    return min(_rounded(due), _rounded(queue_deadline + _STEP - 1)) if queue_deadline is not None else _rounded(due)


def retry_visibility(*, now: int, start_at: int) -> int | None:
    """Seconds for which the message of a retry is to be hidden; None when it is to be deleted and sent again."""
    wait = max(0, start_at - now)
    return None if wait > MAX_RETRY_VISIBILITY else -(-wait // SECOND)


def _rounded(at: int) -> int:
    return at - at % _STEP
