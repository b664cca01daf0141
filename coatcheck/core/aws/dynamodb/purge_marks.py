"""What DELETE leaves beside the row of a job that had webhooks: a mark that its deliveries are not to be made.

Who reads the row just before it is forgotten may make a delivery just after its deliveries were removed. That one finds
the mark at its first look, before anything is sent. The row cannot tell: its id may be used again at once, and a job
whose retention is merely over is still notified.
"""

from __future__ import annotations

from coatcheck.core.aws.call import Call
from coatcheck.core.aws.dynamodb.keys import JobKey, purged
from coatcheck.core.clock import DAY, SECOND
from coatcheck.core.job import Job
from coatcheck.core.webhooks import DELIVERY_RETENTION

MARK_RETENTION = DELIVERY_RETENTION + DAY
"""How long the mark is kept, in milliseconds: longer than a delivery that was made at the last moment."""


def mark_purged(table: str, job: Job, *, now: int) -> Call[None]:
    """Leave the mark. Twice leaves it once."""
    item = JobKey(job.tenant, job.id).item(purged(job.created_at))
    params = {"TableName": table, "Item": item | {"ttl": {"N": str((now + MARK_RETENTION) // SECOND)}}}
    return Call("dynamodb", "PutItem", params, read=lambda _: None)


def was_purged(table: str, key: JobKey, created_at: int) -> Call[bool]:
    """Whether the job that was created then under that key was deleted by its owner (a strongly consistent read)."""
    params = {"TableName": table, "Key": key.item(purged(created_at)), "ConsistentRead": True}
    return Call("dynamodb", "GetItem", params, read=lambda response: "Item" in response)
