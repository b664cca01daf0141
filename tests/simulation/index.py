"""A sparse global index of DynamoDB in memory."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count

from coatcheck.core.aws.dynamodb.keys import Item

Key = tuple[str, str]


def text_of(item: Item, name: str) -> str:
    """The content of an attribute, whatever its type."""
    (content,) = item[name].values()
    return str(content)


@dataclass
class Index:
    """Keys only. A write shows in it `lag` milliseconds later: two of one item in order, others in any order."""

    hash_name: str
    range_name: str
    lag: Callable[[], int]
    partitions: dict[str, dict[Key, Item]] = field(default_factory=dict)
    _place: dict[Key, str] = field(default_factory=dict)
    _coming: list[tuple[int, int, Key, Item | None]] = field(default_factory=list)
    _last: dict[Key, int] = field(default_factory=dict)
    _counter: count[int] = field(default_factory=count)

    def note(self, key: Key, item: Item | None, now: int) -> None:
        """The item was written, or removed."""
        entry = None
        if item is not None and self.hash_name in item and self.range_name in item:
            entry = {name: item[name] for name in ("pk", "sk", self.hash_name, self.range_name)}
        shown_at = max(now + self.lag(), self._last.get(key, 0))
        self._last[key] = shown_at
        heapq.heappush(self._coming, (shown_at, next(self._counter), key, entry))

    def shown(self, partition: str, now: int) -> list[Item]:
        """The entries of a partition that a query made now may find."""
        while self._coming and self._coming[0][0] <= now:
            _, _, key, entry = heapq.heappop(self._coming)
            self._show(key, entry)
        return list(self.partitions.get(partition, {}).values())

    def _show(self, key: Key, entry: Item | None) -> None:
        if (before := self._place.pop(key, None)) is not None:
            del self.partitions[before][key]
        if entry is not None:
            self._place[key] = partition = text_of(entry, self.hash_name)
            self.partitions.setdefault(partition, {})[key] = entry
