"""Items that are no jobs of this version: they are only to be left alone."""

from __future__ import annotations

from coatcheck.core.aws.dynamodb.compatibility import KNOWN_SCHEMA, SCHEMA
from coatcheck.core.aws.dynamodb.keys import JOB, Item
from coatcheck.core.lifecycle import Status

BACKLOG = "job_backlog"
"""What the ids begin with of jobs that nobody waits for."""

UNKNOWN = "later"
"""An attribute that only a newer version knows."""

_STATUSES = frozenset(Status)


def forgets_unknown(before: Item, after: Item) -> bool:
    """Whether a write dropped what only a newer version knows. A new job in an old one's place is another item."""
    return UNKNOWN in before and UNKNOWN not in after and before.get("listed") == after.get("listed")


def is_newer(item: Item) -> bool:
    """Whether only a newer version can read a job's row."""
    if item["sk"]["S"] != JOB:
        return False
    schema = int(item[SCHEMA]["N"]) if SCHEMA in item else 0
    return schema > KNOWN_SCHEMA or item["status"]["S"] not in _STATUSES


def is_backlog(item: Item) -> bool:
    """Whether it is one of many that are only in the way."""
    return f"#{BACKLOG}" in item["pk"]["S"]
