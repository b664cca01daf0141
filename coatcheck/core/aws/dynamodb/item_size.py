"""How large a row may get: DynamoDB bills a write by each KB of the whole item, and a read by each 4 KB."""

from __future__ import annotations

from dataclasses import replace

from coatcheck.core.aws.dynamodb.codec import encode_job
from coatcheck.core.aws.dynamodb.keys import AttributeValue, Item
from coatcheck.core.job import Blob, Job
from coatcheck.core.pack import pack

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


def with_input(job: Job, text: bytes) -> Job:
    """The job with its input, JSON, in its row, if there is room for it."""
    # text that deflates to this little is short; longer text is too long without deflating it
    if len(text) > 64 * HOT_ROW_BYTES:
        return job
    within = replace(job, input=Blob.of(text, job.input.content_type))
    return within if free_bytes(within) >= 0 else job


def free_bytes_for_checkpoint(job: Job) -> int:
    """Bytes, packed, of a checkpoint that may replace the previous one in the row."""
    overhead = item_size({"checkpoint": {"M": {"data": {"B": pack(b"")}}}})
    return free_bytes(replace(job, checkpoint=None)) - overhead


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
