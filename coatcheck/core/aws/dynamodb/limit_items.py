"""The limits of tenants in the table: one item each, in a partition that no tenant's name leads to.

Each limit is an attribute. A write changes only those that it is about, so what a newer version adds to an item stays.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

from coatcheck.core.audit import AuditRecord
from coatcheck.core.aws.audited import audited
from coatcheck.core.aws.call import AwsResponse, Call
from coatcheck.core.aws.dynamodb.compatibility import SCHEMA, NewerRow, require_known
from coatcheck.core.aws.dynamodb.expressions import Expression
from coatcheck.core.aws.dynamodb.keys import AttributeValue, Item
from coatcheck.core.priority import Priority
from coatcheck.core.tenant_limits import NO_LIMITS, TenantLimits

_PARTITION = "#limits"
"""The partitions of tenants begin with their names, and no name is empty. DynamoDB splits a hot one by tenant."""

FIELDS = tuple(field.name for field in fields(TenantLimits))


@dataclass(frozen=True, slots=True)
class LimitsPage:
    """Tenants that have limits, by name, and where the next page starts, if there is one."""

    limits: Mapping[str, TenantLimits]
    next: Item | None


def get_limits(table: str, tenant: str) -> Call[TenantLimits]:
    """The limits of a tenant (a strongly consistent read). Reading the answer raises NewerRow."""
    params = {"TableName": table, "Key": _primary_key(tenant), "ConsistentRead": True}
    return Call("dynamodb", "GetItem", params, lambda found: _limits(found["Item"]) if "Item" in found else NO_LIMITS)


def list_limits(table: str, *, after: Item | None = None) -> Call[LimitsPage]:
    """The limits of all tenants that have any, a page at a time, without those that only newer versions may read."""
    e = Expression()
    params: dict[str, Any] = {
        "TableName": table,
        "KeyConditionExpression": f"{e.name('pk')} = {e.text(_PARTITION)}",
        "ConsistentRead": True,
        **e.placeholders(),
        **({"ExclusiveStartKey": after} if after else {}),
    }

    def read(response: AwsResponse) -> LimitsPage:
        known: Sequence[Item] = [item for item in response["Items"] if SCHEMA not in item]
        limits = {item["sk"]["S"]: _limits(item) for item in known}
        has_any = {tenant: found for tenant, found in limits.items() if found != NO_LIMITS}
        return LimitsPage(has_any, response.get("LastEvaluatedKey"))

    return Call("dynamodb", "Query", params, read)


def change_limits(table: str, tenant: str, changes: Mapping[str, Any]) -> Call[TenantLimits]:
    """Set limits of a tenant, by the names of their fields; those that are None no longer hold.

    Returns all limits of the tenant. Reading the answer raises NewerRow.
    """
    e = Expression()
    for name in FIELDS:
        if name in changes:
            e.assign(name, _encode(changes[name]))
    known = f"attribute_not_exists({e.name(SCHEMA)})"
    params = {
        "TableName": table,
        "Key": _primary_key(tenant),
        "ConditionExpression": known,
        "ReturnValues": "ALL_NEW",
        **e.update(),
    }

    def refuse(_: AwsResponse) -> TenantLimits:
        raise NewerRow(f"a newer version of the service wrote the limits of {tenant}")

    call = Call(
        "dynamodb",
        "UpdateItem",
        params,
        lambda answer: _limits(dict(answer.get("Attributes", {}))),
        {"ConditionalCheckFailedException": refuse},
    )
    named = " ".join(name for name in FIELDS if name in changes)
    return audited(call, lambda _: AuditRecord(action="limits.changed", tenant=tenant, target=named))


def _primary_key(tenant: str) -> Item:
    return {"pk": {"S": _PARTITION}, "sk": {"S": tenant}}


def _encode(value: float | str | Mapping[str, int] | None) -> AttributeValue | None:
    match value:
        case None:
            return None
        case str():
            return {"S": str(value)}
        case int() | float():
            return {"N": repr(value)}
        case _:
            return {"M": {name: {"N": str(count)} for name, count in value.items()}} if value else None


def _limits(item: Item) -> TenantLimits:
    """The limits in an item. Raises NewerRow."""
    require_known(item)
    return TenantLimits(**{name: _DECODERS.get(name, _whole)(item[name]) for name in FIELDS if name in item})


def _whole(value: AttributeValue) -> int:
    return int(value["N"])


_DECODERS: Mapping[str, Any] = {
    "submit_rate": lambda value: float(value["N"]),
    "jobs_running_by_type": lambda value: {name: _whole(count) for name, count in value["M"].items()},
    "priority_max": lambda value: Priority(value["S"]),
}
