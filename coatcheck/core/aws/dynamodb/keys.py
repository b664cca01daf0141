"""Where things stand in the one table. The tenant is part of every key, so no path leads to another's job."""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, TypeAlias

AttributeValue: TypeAlias = dict[str, Any]
Item: TypeAlias = dict[str, AttributeValue]

JOB = "job"
UPLOAD = "upload"
DUE_INDEX = "due"
TENANT_INDEX = "by_tenant"

SHARDS = 8
"""Partitions of each kind in the `due` index, if the deployment does not say. One takes 1,000 writes a second."""

MAX_SHARDS = 256


class ShardKind(StrEnum):
    """What the partitions of the `due` index hold: each kind has its own, so that no backlog of one delays another."""

    DUE = "due"
    """Jobs that wait, run, or have ended and are to be told of."""

    DELIVERY = "delivery"
    REMOVAL = "removal"
    """Jobs that have ended, of which bytes in the bucket are left."""

    def shard(self, number: int) -> str:
        """The partition of this kind with a number."""
        return f"{self}-{number}"


@dataclass(frozen=True, slots=True)
class JobKey:
    """Names one job."""

    tenant: str
    id: str

    @property
    def partition(self) -> str:
        """The partition key of everything that belongs to the job."""
        return f"{self.tenant}#{self.id}"

    def item(self, sort: str = JOB) -> Item:
        """The primary key of the job's row, or of another item of its partition."""
        return {"pk": {"S": self.partition}, "sk": {"S": sort}}

    @classmethod
    def of(cls, item: Item) -> JobKey:
        """The job that an item or an index entry belongs to."""
        tenant, job_id = item["pk"]["S"].split("#")
        return cls(tenant, job_id)


def due_shard(kind: ShardKind, name: str, shards: int) -> str:
    """The partition, one of so many of a kind, of the job or the delivery with this id."""
    return kind.shard(zlib.crc32(name.encode()) % shards)


def removal_shard(shard: str) -> str:
    """The partition of a job of which nothing but bytes is left. It has the number of the one that it was in."""
    return f"{ShardKind.REMOVAL}-{shard.rpartition('-')[2]}"


def history_page(created_at: int, first: int) -> str:
    """The sort key of a page of history that starts with event number `first`.

    It tells of which job, by when that was created: an id may be used again when its job is gone.
    """
    return f"history#{created_at:013d}#{first:06d}"


def artifacts(created_at: int, attempt: int) -> str:
    """The sort key of the list of artifacts that an attempt made."""
    return f"artifacts#{created_at:013d}#{attempt:06d}"


_PURGED = "purged"


def purged(created_at: int) -> str:
    """The sort key of the mark that a job was deleted by its owner."""
    return f"{_PURGED}#{created_at:013d}"


def job_created_at(item: Item) -> int | None:
    """When the job was created that an item of its partition was made for.

    None for the job's own row, and for the mark that stays when all else is deleted.
    """
    kind, *parts = item["sk"]["S"].split("#")
    return int(parts[0]) if parts and kind != _PURGED else None
