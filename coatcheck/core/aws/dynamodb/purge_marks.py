"""DELETE leaves a mark beside the row of a job that had webhooks: its deliveries must not be sent.

A reader of the row just before the purge may create a delivery just after the job's deliveries were removed. The first
attempt of that delivery finds the mark before anything is sent. The row cannot show this: its id may be used again
immediately, and a job whose retention is merely over is still notified.
"""

from __future__ import annotations

from coatcheck.core.aws.call import Call
from coatcheck.core.aws.dynamodb.keys import JobKey, purged
from coatcheck.core.clock import DAY, SECOND
from coatcheck.core.job import Job
from coatcheck.core.webhooks import DELIVERY_RETENTION

MARK_RETENTION = DELIVERY_RETENTION + DAY
"""How long the mark is kept, in milliseconds: longer than a delivery that was created at the last moment."""


def mark_purged(table: str, job: Job, *, now: int) -> Call[None]:
    """Write the mark. Writing it twice leaves one mark."""
    item = JobKey(job.tenant, job.id).item(purged(job.created_at))
    params = {"TableName": table, "Item": item | {"ttl": {"N": str((now + MARK_RETENTION) // SECOND)}}}
    return Call("dynamodb", "PutItem", params, read=lambda _: None)


def was_purged(table: str, key: JobKey, created_at: int) -> Call[bool]:
    """Whether its owner deleted the job created under `key` at `created_at` (a strongly consistent read)."""
    params = {"TableName": table, "Key": key.item(purged(created_at)), "ConsistentRead": True}
    return Call("dynamodb", "GetItem", params, read=lambda response: "Item" in response)
