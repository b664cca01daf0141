"""API keys in the table: one item each, in partitions that no tenant's name leads to: #keys, and #operators.

Each write changes only the attributes that it is about, so what a newer version adds to an item stays.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from coatcheck.core.api_keys import USE_NOTED_EVERY, ApiKey, is_operators
from coatcheck.core.aws.call import AwsResponse, Call
from coatcheck.core.aws.dynamodb.compatibility import SCHEMA, require_known
from coatcheck.core.aws.dynamodb.expressions import Expression
from coatcheck.core.aws.dynamodb.keys import AttributeValue, Item

_PARTITION = "#keys"
"""The partitions of tenants begin with their names, and no name is empty.

DynamoDB splits a partition that is read much by the sort key, which is the key's id.
"""

_OPERATORS = "#operators"

_IMPORTED = "#imported"
"""Sorts before every id."""

_CONDITION_FAILED = "ConditionalCheckFailedException"

_TIMES = {"expires_at": "expires", "revoked_at": "revoked", "last_used_at": "last_used"}
"""The attributes of the times that a key may lack, by its field."""


@dataclass(frozen=True, slots=True)
class KeyPage:
    """Keys in the order of their ids, and where the next page starts, if there is one."""

    keys: Sequence[ApiKey]
    next: Item | None


def put_key(table: str, key: ApiKey) -> Call[bool]:
    """Write a new key; returns whether it is new."""
    e = Expression()
    unless = f"attribute_not_exists({e.name('pk')})"
    params = {"TableName": table, "Item": _item(key), "ConditionExpression": unless, **e.placeholders()}
    return Call("dynamodb", "PutItem", params, lambda _: True, {_CONDITION_FAILED: lambda _: False})


def get_key(table: str, key_id: str) -> Call[ApiKey | None]:
    """One key, or None (a strongly consistent read: a key can be used at once). Reading the answer raises NewerRow."""
    params = {"TableName": table, "Key": _primary_key(key_id), "ConsistentRead": True}
    return Call("dynamodb", "GetItem", params, lambda answer: _key(answer["Item"]) if "Item" in answer else None)


def list_keys(table: str, *, operators: bool = False, after: Item | None = None) -> Call[KeyPage]:
    """The keys of all tenants, or of the operators, a page at a time.

    It omits those that only newer versions may read.
    """
    e = Expression()
    ids = f"{e.name('pk')} = {e.text(_OPERATORS if operators else _PARTITION)} AND {e.name('sk')} > {e.text(_IMPORTED)}"
    params: dict[str, Any] = {"TableName": table, "KeyConditionExpression": ids, "ConsistentRead": True}
    params |= e.placeholders() | ({"ExclusiveStartKey": after} if after else {})

    def read(response: AwsResponse) -> KeyPage:
        known = [_key(item) for item in response["Items"] if SCHEMA not in item]
        return KeyPage(known, response.get("LastEvaluatedKey"))

    return Call("dynamodb", "Query", params, read)


def revoke_key(table: str, key_id: str, *, now: int) -> Call[ApiKey | None]:
    """Revoke a key; returns it, or None if there is none. One that was revoked before keeps that time."""
    e = Expression()
    e.add(f"{e.name('revoked')} = if_not_exists({e.name('revoked')}, {e.number(now)})")
    return _update(table, key_id, e)


def end_key(table: str, key_id: str, *, expires_at: int) -> Call[ApiKey | None]:
    """Let a key expire at that time; returns it, or None if there is none or it expires before that already."""
    e = Expression()
    later = f"(attribute_not_exists({e.name('expires')}) OR {e.name('expires')} > {e.number(expires_at)})"
    e.assign("expires", {"N": str(expires_at)})
    return _update(table, key_id, e, later)


def note_use(table: str, key_id: str, *, now: int) -> Call[ApiKey | None]:
    """Record that a key is used, unless that was recorded less than `USE_NOTED_EVERY` ago; then returns None."""
    e = Expression()
    before = e.number(now - USE_NOTED_EVERY)
    stale = f"(attribute_not_exists({e.name('last_used')}) OR {e.name('last_used')} <= {before})"
    e.assign("last_used", {"N": str(now)})
    return _update(table, key_id, e, stale)


def add_imported(table: str, key_ids: Sequence[str]) -> Call[None]:
    """Add to the ids of keys of another form, which are looked up only if they are among these."""
    params = {
        "TableName": table,
        "Key": _primary_key(_IMPORTED),
        "UpdateExpression": "ADD #ids :ids",
        "ExpressionAttributeNames": {"#ids": "ids"},
        "ExpressionAttributeValues": {":ids": {"SS": sorted(key_ids)}},
    }
    return Call("dynamodb", "UpdateItem", params, lambda _: None)


def get_imported(table: str) -> Call[frozenset[str]]:
    """The ids of the keys of another form."""
    params = {"TableName": table, "Key": _primary_key(_IMPORTED), "ConsistentRead": True}
    return Call("dynamodb", "GetItem", params, lambda answer: frozenset(answer.get("Item", _NONE)["ids"]["SS"]))


_NONE: Mapping[str, AttributeValue] = {"ids": {"SS": []}}


def _update(table: str, key_id: str, e: Expression, condition: str | None = None) -> Call[ApiKey | None]:
    known = f"attribute_exists({e.name('pk')}) AND attribute_not_exists({e.name(SCHEMA)})"
    params = {
        "TableName": table,
        "Key": _primary_key(key_id),
        "ConditionExpression": f"{known} AND {condition}" if condition else known,
        "ReturnValues": "ALL_NEW",
        **e.update(),
    }
    return Call(
        "dynamodb",
        "UpdateItem",
        params,
        lambda answer: _key(dict(answer["Attributes"])),
        {_CONDITION_FAILED: lambda _: None},
    )


def _primary_key(sort: str) -> Item:
    return {"pk": {"S": _OPERATORS if is_operators(sort) else _PARTITION}, "sk": {"S": sort}}


def _item(key: ApiKey) -> Item:
    times = {name: getattr(key, field) for field, name in _TIMES.items()}
    return _primary_key(key.id) | {
        "digest": {"B": key.digest},
        # an index's key, which cannot be empty
        **({"tenant": {"S": key.tenant}} if key.tenant else {}),
        "scopes": {"L": [{"S": scope} for scope in sorted(key.scopes)]},
        "name": {"S": key.name},
        "created": {"N": str(key.created_at)},
        **{name: {"N": str(at)} for name, at in times.items() if at is not None},
    }


def _key(item: Item) -> ApiKey:
    """The key in an item. Raises NewerRow."""
    require_known(item)
    times = {field: int(item[name]["N"]) for field, name in _TIMES.items() if name in item}
    return ApiKey(
        id=item["sk"]["S"],
        digest=bytes(item["digest"]["B"]),
        tenant=item["tenant"]["S"] if "tenant" in item else "",
        scopes=frozenset(scope["S"] for scope in item["scopes"]["L"]),
        created_at=int(item["created"]["N"]),
        name=item["name"]["S"],
        **times,
    )
