"""Reads of the `due` index: what is overdue, page by page."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from coatcheck.core.aws.call import AwsResponse, Call
from coatcheck.core.aws.dynamodb.expressions import Expression
from coatcheck.core.aws.dynamodb.keys import DUE_INDEX, Item, JobKey

Key = TypeVar("Key")


@dataclass(frozen=True, slots=True)
class DuePage(Generic[Key]):
    """Overdue keys, the longest overdue first, and where to continue; None when there are no more."""

    keys: Sequence[Key]
    next: Item | None


def due_page(
    table: str, shard: str, key_of: Callable[[Item], Key], *, now: int, limit: int, after: Item | None = None
) -> Call[DuePage[Key]]:
    """Up to `limit` entries of one shard whose `due_at` has passed, behind the entry `after`."""
    e = Expression()
    params = {
        "TableName": table,
        "IndexName": DUE_INDEX,
        "KeyConditionExpression": f"{e.name('due_shard')} = {e.text(shard)} AND {e.name('due_at')} <= {e.number(now)}",
        **e.placeholders(),
        "Limit": limit,
        **({} if after is None else {"ExclusiveStartKey": after}),
    }

    def read(response: AwsResponse) -> DuePage[Key]:
        return DuePage([key_of(item) for item in response["Items"]], response.get("LastEvaluatedKey"))

    return Call("dynamodb", "Query", params, read)


def due_jobs(table: str, shard: str, *, now: int, limit: int, after: Item | None = None) -> Call[DuePage[JobKey]]:
    """Up to `limit` jobs of one shard whose `due_at` has passed, behind the entry `after`."""
    return due_page(table, shard, JobKey.of, now=now, limit=limit, after=after)
