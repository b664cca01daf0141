"""DynamoDB in memory: one table with its two sparse indexes, and the operations that the kernel uses."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from coatcheck.table.keys import DUE_INDEX, TENANT_INDEX, Item
from tests.simulation import expressions
from tests.simulation.expressions import Names

Key = tuple[str, str]
Params = Mapping[str, Any]

_INDEX_KEYS: Mapping[str, tuple[str, str]] = {
    DUE_INDEX: ("due_shard", "due_at"),
    TENANT_INDEX: ("tenant", "listed"),
}


class Refusal(Exception):
    """An error that AWS answers with."""

    def __init__(self, code: str, **response: Any) -> None:
        super().__init__(code)
        self.response = {"Error": {"Code": code, "Message": code}, **response}


@dataclass
class Index:
    """A global index of keys only. What is written shows in it `lag` milliseconds later, at most."""

    hash_name: str
    range_name: str
    lag: Callable[[], int]
    entries: dict[Key, Item] = field(default_factory=dict)
    _coming: deque[tuple[int, Key, Item | None]] = field(default_factory=deque)

    def note(self, key: Key, item: Item | None, now: int) -> None:
        """The item was written, or removed."""
        entry = None
        if item is not None and self.hash_name in item and self.range_name in item:
            entry = {name: item[name] for name in ("pk", "sk", self.hash_name, self.range_name)}
        shown_at = now + self.lag()
        # an index keeps the order of the writes
        if self._coming:
            shown_at = max(shown_at, self._coming[-1][0])
        self._coming.append((shown_at, key, entry))

    def shown(self, now: int) -> list[Item]:
        """The entries that a query made now may find."""
        while self._coming and self._coming[0][0] <= now:
            _, key, entry = self._coming.popleft()
            if entry is None:
                self.entries.pop(key, None)
            else:
                self.entries[key] = entry
        return list(self.entries.values())


class Table:
    """One table. `watch` is told of each write of an item: its key, and it before and after."""

    def __init__(self, lag: Callable[[], int] = lambda: 0) -> None:
        self.items: dict[Key, Item] = {}
        self.indexes = {name: Index(*keys, lag) for name, keys in _INDEX_KEYS.items()}
        self.watch: Callable[[Key, Item | None, Item], None] = lambda *_: None

    def answer(self, operation: str, params: Params, now: int) -> Any:
        """What DynamoDB answers. Raises Refusal."""
        try:
            return _OPERATIONS[operation](self, params, now)
        except expressions.ValidationError as error:
            raise Refusal("ValidationException", Detail=str(error)) from error

    def put_item(self, params: Params, now: int) -> Any:
        """PutItem."""
        item: Item = params["Item"]
        key = _key(item)
        self._check(params, self.items.get(key))
        self._write(key, dict(item), now)
        return {}

    def update_item(self, params: Params, now: int) -> Any:
        """UpdateItem."""
        key = _key(params["Key"])
        before = self.items.get(key)
        self._check(params, before)
        after = expressions.update(params["UpdateExpression"]).apply(before or dict(params["Key"]), Names.of(params))
        self._write(key, after, now)
        return {"Attributes": after} if params.get("ReturnValues") == "ALL_NEW" else {}

    def get_item(self, params: Params, _now: int) -> Any:
        """GetItem."""
        item = self.items.get(_key(params["Key"]))
        return {} if item is None else {"Item": item}

    def batch_get_item(self, params: Params, _now: int) -> Any:
        """BatchGetItem."""
        asked = {table: [_key(key) for key in request["Keys"]] for table, request in params["RequestItems"].items()}
        found = {table: [self.items[key] for key in keys if key in self.items] for table, keys in asked.items()}
        return {"Responses": found, "UnprocessedKeys": {}}

    def query(self, params: Params, now: int) -> Any:
        """Query of the table or of an index."""
        index = self.indexes.get(params.get("IndexName", ""))
        ordered_by = index.range_name if index else "sk"
        rows = index.shown(now) if index else list(self.items.values())
        holds, names = expressions.condition(params["KeyConditionExpression"]), Names.of(params)
        backward = not params.get("ScanIndexForward", True)

        def place(row: Item) -> tuple[Any, ...]:
            ((kind, value),) = row[ordered_by].items()
            return (int(value) if kind == "N" else value, *_key(row))

        found = sorted((row for row in rows if holds(row, names)), key=place, reverse=backward)
        if start := params.get("ExclusiveStartKey"):
            found = [row for row in found if (place(row) < place(start) if backward else place(row) > place(start))]
        limit = params.get("Limit", len(found))
        more = {"LastEvaluatedKey": found[limit - 1]} if limit < len(found) else {}
        wanted = [name.strip() for name in params.get("ProjectionExpression", "").split(",") if name]
        page = [{name: row[name] for name in wanted} if wanted else row for row in found[:limit]]
        return {"Items": page, **more}

    def batch_write_item(self, params: Params, now: int) -> Any:
        """BatchWriteItem, of deletions."""
        for requests in params["RequestItems"].values():
            for request in requests:
                key = _key(request["DeleteRequest"]["Key"])
                self.items.pop(key, None)
                for index in self.indexes.values():
                    index.note(key, None, now)
        return {"UnprocessedItems": {}}

    def overdue(self, now: int) -> bool:
        """Whether any job's `due_at` has passed."""
        return any("due_at" in item and int(item["due_at"]["N"]) <= now for item in self.items.values())

    def _check(self, params: Params, item: Item | None) -> None:
        text = params.get("ConditionExpression")
        if text is None or expressions.condition(text)(item or {}, Names.of(params)):
            return
        told = item is not None and params.get("ReturnValuesOnConditionCheckFailure") == "ALL_OLD"
        raise Refusal("ConditionalCheckFailedException", **({"Item": item} if told else {}))

    def _write(self, key: Key, item: Item, now: int) -> None:
        before = self.items.get(key)
        self.items[key] = item
        for index in self.indexes.values():
            index.note(key, item, now)
        self.watch(key, before, item)


def _key(item: Item) -> Key:
    return item["pk"]["S"], item["sk"]["S"]


_OPERATIONS: Mapping[str, Callable[[Table, Params, int], Any]] = {
    "PutItem": Table.put_item,
    "UpdateItem": Table.update_item,
    "GetItem": Table.get_item,
    "BatchGetItem": Table.batch_get_item,
    "BatchWriteItem": Table.batch_write_item,
    "Query": Table.query,
}
