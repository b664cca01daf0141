"""How large a row may get: DynamoDB bills a write by each KB of the whole item, and a read by each 4 KB."""

from __future__ import annotations

import functools
from dataclasses import replace

from coatcheck.core.aws.dynamodb.codec import encode_job
from coatcheck.core.aws.dynamodb.keys import AttributeValue, Item
from coatcheck.core.job import JSON, Blob, Job, JobEvent
from coatcheck.core.lifecycle import SUBMIT_FOR_LATER, Status
from coatcheck.core.pack import pack
from coatcheck.core.priority import Priority
from coatcheck.core.tallies import Tally

HOT_ROW_BYTES = 1024
"""Bytes of the row of a job that waits or runs: each claim and each lease renewal costs one write unit."""

GROWTH_BYTES = 256
"""Bytes of these reserved for what a claim, a lease renewal and the end of a successful job add."""

MAX_RESULT_IN_ROW = 2048
"""Bytes, packed, of a result that goes into the row. It is written once, and the row stays one read unit: a request to
S3 to store it would cost as much as eight write units."""


def item_size(item: Item) -> int:
    """The size of an item as DynamoDB counts it, in bytes.

    https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/CapacityUnitCalculations.html
    """
    return sum(len(name.encode()) + _value_size(value) for name, value in item.items())


def free_bytes(job: Job) -> int:
    """Bytes that may still go into the row of a job that waits or runs."""
    return HOT_ROW_BYTES - GROWTH_BYTES - item_size(encode_job(job))


def with_room_to_grow(job: Job) -> Job:
    """The job with the input that it holds, if its row has room for it; otherwise with the input left to the bucket."""
    text = job.input.inline
    assert text is not None
    # text that deflates to this little is short; longer text is too long without deflating it
    if len(text) <= 64 * HOT_ROW_BYTES and (_surely_fits(job, text) or free_bytes(job) >= 0):
        return job
    return replace(job, input=replace(job.input, inline=None))


def _surely_fits(job: Job, text: bytes) -> bool:
    """Whether there is room for all that the row of such a new job can hold, so that it need not be encoded to see."""
    if job.webhook or job.notify or job.metadata:
        return False
    # ids and names are ASCII; the tenant is in the key too
    names = (job.tenant, job.tenant, job.id, job.type, job.lane, job.due_shard, job.replayed_from or "")
    return _size_but_for_names() + sum(map(len, names)) + len(text) <= HOT_ROW_BYTES - GROWTH_BYTES


@functools.cache
def _size_but_for_names() -> int:
    """The size of the row of a new job that has all it may have, but empty names and no text."""
    late, digest = 10**13 - 1, bytes(32)
    job = Job(
        tenant="",
        id="",
        type="",
        lane="",
        due_shard="",
        replayed_from="",
        status=Status.SCHEDULED,
        version=1,
        attempt=0,
        created_at=late,
        updated_at=late,
        due_at=late,
        run_at=late,
        start_at=late,
        queue_deadline=late,
        max_attempts=late,
        timeout=late,
        retention=late,
        digest=digest,
        meant=digest,
        input=Blob.of(b"", JSON),
        counted=tuple(Tally),
        priority=Priority.HIGH,
        history=(JobEvent(str(SUBMIT_FOR_LATER.event), late),),
    )
    return item_size(encode_job(job))


def free_bytes_for_checkpoint(job: Job) -> int:
    """Bytes, packed, of a checkpoint that may replace the previous one in the row."""
    overhead = item_size({"checkpoint": {"M": {"data": {"B": pack(b"")}}}})
    return free_bytes(job if job.checkpoint is None else replace(job, checkpoint=None)) - overhead


def _value_size(value: AttributeValue) -> int:
    ((kind, held),) = value.items()
    match kind:
        case "S":
            return len(held.encode())
        case "N":
            return -(-len(held.lstrip("-")) // 2) + 1
        case "B":
            return len(held)
        case "L":
            return 3 + sum(1 + _value_size(entry) for entry in held)
        case _:
            return 3 + sum(1 + len(name) + _value_size(entry) for name, entry in held.items())
