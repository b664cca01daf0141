"""Partitions of the `due` index: how many there are, what each kind holds, and which one a row is in."""

from __future__ import annotations

import zlib
from enum import StrEnum

SHARDS = 8
"""Partitions of each kind in the `due` index, if the deployment does not say. One takes 1,000 writes a second."""

MAX_SHARDS = 256


class ShardKind(StrEnum):
    """What the partitions of the `due` index hold: each kind has its own, so that no backlog of one delays another."""

    DUE = "due"
    """Jobs that wait, run, or have ended with events to notify."""

    DELIVERY = "delivery"
    REMOVAL = "removal"
    """Jobs that have ended and still have bytes in the bucket."""

    TENANT = "tenant"
    """Tenants that have parked jobs."""

    def shard(self, number: int) -> str:
        """The partition of this kind with a number."""
        return f"{self}-{number}"


def due_shard(kind: ShardKind, name: str, shards: int) -> str:
    """The partition of the job or the delivery with this id; its kind has `shards` partitions."""
    return kind.shard(zlib.crc32(name.encode()) % shards)


def removal_shard(shard: str) -> str:
    """The removal partition of a job that has only bytes left. It has the same number as `shard`."""
    return f"{ShardKind.REMOVAL}-{shard.rpartition('-')[2]}"
