"""Patch of DynamoDB: makes the replacement of a MiniStack function from the original."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

OrderKeys = Callable[[Mapping[str, Any], Any], Sequence[tuple[str, str]]]


def order_by_hash_first(order_keys: OrderKeys) -> OrderKeys:
    """Wrap `order_keys` so that a scan of an index goes from partition to partition, as DynamoDB's does.

    MiniStack orders a scan by the sort key alone, through all partitions. In a query the partition makes no difference.
    """

    def with_hash(table: Mapping[str, Any], sort: Any) -> Sequence[tuple[str, str]]:
        return [*dict.fromkeys([*((name, "S") for name in _hashes(table, sort)), *order_keys(table, sort)])]

    return with_hash


def _hashes(table: Mapping[str, Any], sort: Any) -> Iterator[str]:
    """The hash keys of the indexes that are sorted by `sort`: one name, or a list of them."""
    sorts = list(sort) if isinstance(sort, list | tuple) else [sort]
    for index in table.get("GlobalSecondaryIndexes") or ():
        names = {one["KeyType"]: one["AttributeName"] for one in index["KeySchema"]}
        if names.get("RANGE") in sorts:
            yield names["HASH"]
