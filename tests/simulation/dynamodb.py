"""DynamoDB in memory: one table with its two sparse indexes, and the operations that the kernel uses."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from coatcheck.core.aws.dynamodb.keys import DUE_INDEX, TENANT_INDEX, Item
from coatcheck.core.clock import SECOND
from tests.simulation import expressions
from tests.simulation.expressions import Names
from tests.simulation.index import Index, Key, text_of
from tests.simulation.nondeterminism import Nondeterminism

Params = Mapping[str, Any]

PAGE_BYTES = 1024**2
"""What one Query reads: https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Query.Pagination.html"""

MOST_READ, MOST_WRITTEN = 100, 25
"""Items of a batch: https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_BatchGetItem.html and
https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_BatchWriteItem.html"""

PAST = 5 * SECOND
"""For how long the table remembers what an eventually consistent read may still give."""

_INDEX_KEYS: Mapping[str, tuple[str, str]] = {
    DUE_INDEX: ("due_shard", "due_at"),
    TENANT_INDEX: ("tenant", "listed"),
}


class Refusal(Exception):
    """An error that AWS answers with."""

    def __init__(self, code: str, **response: Any) -> None:
        super().__init__(code)
        self.response = {"Error": {"Code": code, "Message": code}, **response}


class Table:
    """One table. `watch` is told of each write of an item: its key, and it before and after (None: it was removed)."""

    def __init__(self, nondeterminism: Nondeterminism | None = None) -> None:
        self._nondeterminism = nondeterminism or Nondeterminism()
        self.items: dict[Key, Item] = {}
        self.indexes = {name: Index(*keys, self._nondeterminism.lag) for name, keys in _INDEX_KEYS.items()}
        self.watch: Callable[[Key, Item | None, Item | None], None] = lambda *_: None
        self._keys: dict[str, dict[Key, None]] = {}
        self._past: dict[Key, list[tuple[int, Item | None]]] = {}

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
        self.write(key, dict(item), now)
        return {}

    def update_item(self, params: Params, now: int) -> Any:
        """UpdateItem."""
        key = _key(params["Key"])
        before = self.items.get(key)
        self._check(params, before)
        after = expressions.update(params["UpdateExpression"]).apply(before or dict(params["Key"]), Names.of(params))
        self.write(key, after, now)
        return {"Attributes": after} if params.get("ReturnValues") == "ALL_NEW" else {}

    def transact_write_items(self, params: Params, now: int) -> Any:
        """TransactWriteItems, of updates of different items: all of them, or none."""
        updates = [entry["Update"] for entry in params["TransactItems"]]
        keys = [_key(one["Key"]) for one in updates]
        if len(set(keys)) < len(keys):
            raise Refusal("ValidationException")
        reasons = [self._reason(one) for one in updates]
        if any(reason["Code"] != "None" for reason in reasons):
            raise Refusal("TransactionCanceledException", CancellationReasons=reasons)
        for one in updates:
            self.update_item(one, now)
        return {}

    def _reason(self, params: Params) -> dict[str, Any]:
        """Why an update of a transaction is not made."""
        try:
            self._check(params, self.items.get(_key(params["Key"])))
        except Refusal as refusal:
            item = {"Item": refusal.response["Item"]} if "Item" in refusal.response else {}
            return {"Code": "ConditionalCheckFailed", **item}
        return {"Code": "None"}

    def delete_item(self, params: Params, now: int) -> Any:
        """DeleteItem."""
        key = _key(params["Key"])
        before = self.items.get(key)
        self._check(params, before)
        self.write(key, None, now)
        returned = before is not None and params.get("ReturnValues") == "ALL_OLD"
        return {"Attributes": before} if returned else {}

    def get_item(self, params: Params, now: int) -> Any:
        """GetItem."""
        item = self._reader(params, now)(_key(params["Key"]))
        return {} if item is None else {"Item": item}

    def batch_get_item(self, params: Params, now: int) -> Any:
        """BatchGetItem. What AWS leaves out is to be asked for again; it never leaves out all of it."""
        found, left = {}, {}
        for table, request in params["RequestItems"].items():
            keys = request["Keys"]
            if len(keys) > MOST_READ or len({_key(key) for key in keys}) < len(keys):
                raise Refusal("ValidationException")
            asked, unread = self._divided(keys)
            read = self._reader(request, now)
            found[table] = [item for key in asked if (item := read(_key(key))) is not None]
            if unread:
                left[table] = {**request, "Keys": unread}
        return {"Responses": found, "UnprocessedKeys": left}

    def query(self, params: Params, now: int) -> Any:
        """Query of the table or of an index."""
        index = self.indexes.get(params.get("IndexName", ""))
        ordered_by = index.range_name if index else "sk"
        partition = _partition(params, index.hash_name if index else "pk")
        rows = index.shown(partition, now) if index else self._rows(partition, params, now)
        holds, names = expressions.condition(params["KeyConditionExpression"]), Names.of(params)
        backward = not params.get("ScanIndexForward", True)

        def place(row: Item) -> tuple[Any, ...]:
            ((kind, value),) = row[ordered_by].items()
            return (int(value) if kind == "N" else value, *_key(row))

        found = sorted((row for row in rows if holds(row, names)), key=place, reverse=backward)
        if start := params.get("ExclusiveStartKey"):
            found = [row for row in found if (place(row) < place(start) if backward else place(row) > place(start))]
        read = found[: _page_length(found, params.get("Limit", len(found)))]
        # a page that is full may be the last: only the next one tells
        goes_on = bool(read) and (len(read) < len(found) or len(read) == params.get("Limit"))
        keys = {"pk", "sk", ordered_by, index.hash_name if index else "pk"}
        more = {"LastEvaluatedKey": {name: read[-1][name] for name in keys}} if goes_on else {}
        wanted = [name.strip() for name in params.get("ProjectionExpression", "").split(",") if name]
        return {"Items": [{name: row[name] for name in wanted} if wanted else row for row in read], **more}

    def batch_write_item(self, params: Params, now: int) -> Any:
        """BatchWriteItem, of deletions. What AWS leaves out is to be asked for again; it never leaves out all of it."""
        left = {}
        for table, requests in params["RequestItems"].items():
            if len(requests) > MOST_WRITTEN:
                raise Refusal("ValidationException")
            taken, unwritten = self._divided(requests)
            for request in taken:
                self.write(_key(request["DeleteRequest"]["Key"]), None, now)
            if unwritten:
                left[table] = unwritten
        return {"UnprocessedItems": left}

    def overdue(self, now: int) -> Iterator[Item]:
        """The items whose `due_at` has passed."""
        for item in self.items.values():
            if "due_at" in item and int(item["due_at"]["N"]) <= now:
                yield item

    def delete_expired(self, now: int) -> None:
        """What DynamoDB does in the days after a `ttl` has passed."""
        for key in [key for key, item in self.items.items() if "ttl" in item and int(item["ttl"]["N"]) * SECOND < now]:
            self.write(key, None, now)

    def write(self, key: Key, item: Item | None, now: int) -> None:
        """Write an item, or remove it, whatever stands there."""
        before = self.items.pop(key, None)
        if before is None and item is None:
            return
        self._remember(key, before, now)
        if item is not None:
            self.items[key] = item
            self._keys.setdefault(key[0], {})[key] = None
        for index in self.indexes.values():
            index.note(key, item, now)
        self.watch(key, before, item)

    def _remember(self, key: Key, before: Item | None, now: int) -> None:
        past = self._past.setdefault(key, [])
        while past and past[0][0] < now - PAST:
            past.pop(0)
        past.append((now, before))

    def _reader(self, params: Params, now: int) -> Callable[[Key], Item | None]:
        """How a request reads: as things are or, unless it asks for that, as they were a while ago."""
        age = 0 if params.get("ConsistentRead") else self._nondeterminism.age()
        return self.items.get if not age else lambda key: self._as_of(key, now - age)

    def _as_of(self, key: Key, at: int) -> Item | None:
        for written_at, before in self._past.get(key, ()):
            if written_at > at:
                return before
        return self.items.get(key)

    def _rows(self, partition: str, params: Params, now: int) -> list[Item]:
        read = self._reader(params, now)
        return [item for key in self._keys.get(partition, ()) if (item := read(key)) is not None]

    def _divided(self, entries: Sequence[Any]) -> tuple[list[Any], list[Any]]:
        """What of a batch is carried out, and what is not."""
        left = [entry for entry in entries[1:] if self._nondeterminism.leaves_out()]
        return [entry for entry in entries if entry not in left], left

    def _check(self, params: Params, item: Item | None) -> None:
        text = params.get("ConditionExpression")
        if text is None or expressions.condition(text)(item or {}, Names.of(params)):
            return
        returned = item is not None and params.get("ReturnValuesOnConditionCheckFailure") == "ALL_OLD"
        raise Refusal("ConditionalCheckFailedException", **({"Item": item} if returned else {}))


def _key(item: Item) -> Key:
    return item["pk"]["S"], item["sk"]["S"]


def _partition(params: Params, hash_name: str) -> str:
    """The partition that a key condition names: each has one clause that says so."""
    for alias, value in re.findall(r"(#?\w+) = (:\w+)", params["KeyConditionExpression"]):
        if params.get("ExpressionAttributeNames", {}).get(alias, alias) == hash_name:
            return text_of(params["ExpressionAttributeValues"], value)
    raise Refusal("ValidationException")


def _page_length(rows: Sequence[Item], limit: int) -> int:
    read = 0
    for number, row in enumerate(rows[:limit], start=1):
        read += sum(len(name) + _bytes(value) for name, value in row.items())
        if read > PAGE_BYTES:
            return max(number - 1, 1)
    return limit


def _bytes(value: Any) -> int:
    """About what DynamoDB counts for an attribute."""
    ((kind, content),) = value.items()
    match kind:
        case "L":
            return sum(_bytes(one) for one in content)
        case "M":
            return sum(len(name) + _bytes(one) for name, one in content.items())
        case _:
            return len(content)


_OPERATIONS: Mapping[str, Callable[[Table, Params, int], Any]] = {
    "PutItem": Table.put_item,
    "UpdateItem": Table.update_item,
    "DeleteItem": Table.delete_item,
    "TransactWriteItems": Table.transact_write_items,
    "GetItem": Table.get_item,
    "BatchGetItem": Table.batch_get_item,
    "BatchWriteItem": Table.batch_write_item,
    "Query": Table.query,
}
