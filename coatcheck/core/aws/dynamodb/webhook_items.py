"""Endpoints and deliveries in the table. Every write after the first is conditional on what was read."""

from __future__ import annotations

import contextlib
import json
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from coatcheck.core import due
from coatcheck.core.aws.call import AwsResponse, Call
from coatcheck.core.aws.dynamodb.compatibility import SCHEMA, NewerRow, from_saved, require_known, to_saved
from coatcheck.core.aws.dynamodb.due_index import DuePage, due_page
from coatcheck.core.aws.dynamodb.expressions import Expression
from coatcheck.core.aws.dynamodb.keys import Item, JobKey
from coatcheck.core.clock import SECOND
from coatcheck.core.pack import pack, to_json, unpack
from coatcheck.core.shards import SHARDS, ShardKind, due_shard
from coatcheck.core.trace import TraceContext
from coatcheck.core.webhooks import (
    ATTEMPT_LEASE,
    MAX_ATTEMPTS_KEPT,
    Delivery,
    DeliveryAttempt,
    DeliveryKey,
    DeliveryStatus,
    WebhookEndpoint,
)

_ENDPOINTS = "webhooks"
"""Not the id of any job: with the tenant in front of it, the partition of the tenant's endpoints."""

_CONDITION_FAILED = "ConditionalCheckFailedException"


def put_endpoint(table: str, endpoint: WebhookEndpoint) -> Call[bool]:
    """Write a new endpoint; returns whether it is new."""
    e = Expression()
    unless = f"attribute_not_exists({e.name('pk')})"
    params = {"TableName": table, "Item": _endpoint_item(endpoint), "ConditionExpression": unless, **e.placeholders()}
    return Call("dynamodb", "PutItem", params, _yes, {_CONDITION_FAILED: _no})


def update_endpoint(table: str, endpoint: WebhookEndpoint) -> Call[WebhookEndpoint | None]:
    """Write the changes of an endpoint as the version after its own; None if another version is stored."""
    after = replace(endpoint, version=endpoint.version + 1)
    e = Expression()
    unchanged = _unchanged(e, endpoint.version)
    item = _endpoint_item(after)
    for name in ("version", "settings"):
        e.assign(name, item[name])
    key = _endpoint_key(endpoint.tenant, endpoint.id)
    params = {"TableName": table, "Key": key, "ConditionExpression": unchanged, **e.update()}
    return Call("dynamodb", "UpdateItem", params, lambda _: after, {_CONDITION_FAILED: lambda _: None})


def get_endpoint(table: str, tenant: str, endpoint_id: str) -> Call[WebhookEndpoint | None]:
    """One endpoint of a tenant, or None (a strongly consistent read)."""
    params = {"TableName": table, "Key": _endpoint_key(tenant, endpoint_id), "ConsistentRead": True}
    return Call("dynamodb", "GetItem", params, lambda a: _endpoint(tenant, a["Item"]) if "Item" in a else None)


def list_endpoints(table: str, tenant: str) -> Call[Sequence[WebhookEndpoint]]:
    """All endpoints of a tenant, the oldest first (a strongly consistent read).

    Reading the answer raises NewerRow if only newer versions may read one of them: a list without it would leave out a
    receiver that wants the events.
    """
    e = Expression()
    of_tenant = f"{e.name('pk')} = {e.text(JobKey(tenant, _ENDPOINTS).partition)}"
    params = {"TableName": table, "KeyConditionExpression": of_tenant, "ConsistentRead": True, **e.placeholders()}

    def read(response: AwsResponse) -> list[WebhookEndpoint]:
        return sorted((_endpoint(tenant, item) for item in response["Items"]), key=lambda one: (one.created_at, one.id))

    return Call("dynamodb", "Query", params, read)


def delete_endpoint(table: str, tenant: str, endpoint_id: str) -> Call[bool]:
    """Remove an endpoint; returns whether it existed."""
    params = {"TableName": table, "Key": _endpoint_key(tenant, endpoint_id), "ReturnValues": "ALL_OLD"}
    return Call("dynamodb", "DeleteItem", params, lambda response: "Attributes" in response)


def put_delivery(table: str, delivery: Delivery, *, shards: int = SHARDS) -> Call[bool]:
    """Write a new delivery into one of `shards` shards; returns whether it is new. An existing one stays unchanged."""
    e = Expression()
    unless = f"attribute_not_exists({e.name('pk')})"
    shard = due_shard(ShardKind.DELIVERY, delivery.key.id, shards)
    item = _delivery_item(delivery) | {"due_shard": {"S": shard}}
    params = {"TableName": table, "Item": item, "ConditionExpression": unless, **e.placeholders()}
    return Call("dynamodb", "PutItem", params, _yes, {_CONDITION_FAILED: _no})


def delete_delivery(table: str, key: DeliveryKey) -> Call[None]:
    """Remove a delivery, if it exists."""
    return Call("dynamodb", "DeleteItem", {"TableName": table, "Key": _delivery_key(key)}, lambda _: None)


def get_delivery(table: str, key: DeliveryKey) -> Call[Delivery | None]:
    """One delivery, or None (a strongly consistent read)."""
    params = {"TableName": table, "Key": _delivery_key(key), "ConsistentRead": True}
    return Call("dynamodb", "GetItem", params, lambda a: _delivery(a["Item"]) if "Item" in a else None)


@dataclass(frozen=True, slots=True)
class DeliveryPage:
    """Deliveries, the oldest first, and the id after which others follow, if any."""

    deliveries: Sequence[Delivery]
    next: str | None


def list_deliveries(
    table: str, tenant: str, of: str, *, made: int, limit: int, after: str | None = None
) -> Call[DeliveryPage]:
    """Up to `limit` deliveries that belong to a job, or to an endpoint's tests, after the one with the id `after`.

    A page is shorter when deliveries are large, since DynamoDB reads 1 MB at a time. It omits those of newer versions.
    """
    e = Expression()
    partition, first = e.text(JobKey(tenant, of).partition), e.text(_deliveries(made))
    params: dict[str, Any] = {
        "TableName": table,
        "KeyConditionExpression": f"{e.name('pk')} = {partition} AND begins_with({e.name('sk')}, {first})",
        "ConsistentRead": True,
        **e.placeholders(),
        "Limit": limit,
    }
    if after is not None:
        params["ExclusiveStartKey"] = _delivery_key(DeliveryKey(tenant, of, made, after))

    def read(response: AwsResponse) -> DeliveryPage:
        known = (one for item in response["Items"] for one in _known(item))
        found = sorted(known, key=lambda one: (one.created_at, one.key.id))
        last = response.get("LastEvaluatedKey")
        return DeliveryPage(found, _key_of(last).id if last else None)

    return Call("dynamodb", "Query", params, read)


def due_deliveries(
    table: str, shard: str, *, now: int, limit: int, after: Item | None = None
) -> Call[DuePage[DeliveryKey]]:
    """Up to `limit` deliveries of one shard whose `due_at` has passed, behind the entry `after`."""
    return due_page(table, shard, _key_of, now=now, limit=limit, after=after)


def begin_attempt(table: str, delivery: Delivery, *, now: int) -> Call[Delivery | None]:
    """Claim the delivery for one attempt; None when somebody else has changed it since it was read."""
    begun = replace(delivery, tries=delivery.tries + 1, trying_since=now, due_at=due.for_lease(now + ATTEMPT_LEASE))
    return update_delivery(table, begun)


def end_attempt(
    table: str, delivery: Delivery, attempt: DeliveryAttempt, *, next_at: int | None
) -> Call[Delivery | None]:
    """Record the result of an attempt, and when the next is due, if any; None as for `begin_attempt`."""
    if attempt.succeeded:
        status = DeliveryStatus.DELIVERED
    else:
        status = DeliveryStatus.FAILED if next_at is None else DeliveryStatus.PENDING
    attempts = (*delivery.attempts, attempt)[-MAX_ATTEMPTS_KEPT:]
    ended = replace(delivery, status=status, attempts=attempts, trying_since=None, try_at=None, due_at=None)
    if status is DeliveryStatus.PENDING:
        ended = postponed(ended, next_at, now=attempt.at + attempt.latency)
    return update_delivery(table, ended)


def postponed(delivery: Delivery, try_at: int | None, *, now: int) -> Delivery:
    """The delivery with its next attempt at `try_at`, for which a message is sent now or already waits."""
    due_at = due.for_dispatch(now=now, start_at=try_at, queue_deadline=None, dispatches=0)
    return replace(delivery, try_at=try_at, due_at=due_at)


def update_delivery(table: str, delivery: Delivery) -> Call[Delivery | None]:
    """Write the mutable fields of a delivery as the version after `delivery.version`; None if another is stored."""
    after = replace(delivery, version=delivery.version + 1)
    e = Expression()
    unchanged = _unchanged(e, delivery.version)
    item = _delivery_item(after)
    for name in ("version", "status", "url", "tries", "trying_since", "try_at", "due_at", "attempts", "ttl"):
        e.assign(name, item.get(name))
    params = {"TableName": table, "Key": _delivery_key(delivery.key), "ConditionExpression": unchanged, **e.update()}
    return Call("dynamodb", "UpdateItem", params, lambda _: after, {_CONDITION_FAILED: lambda _: None})


def _unchanged(e: Expression, version: int) -> str:
    """The condition that the item still has this version, and has not become one that only newer versions may write."""
    return f"attribute_not_exists({e.name(SCHEMA)}) AND {e.name('version')} = {e.number(version)}"


def _yes(_: AwsResponse) -> bool:
    return True


def _no(_: AwsResponse) -> bool:
    return False


def _endpoint_key(tenant: str, endpoint_id: str) -> Item:
    return JobKey(tenant, _ENDPOINTS).item(endpoint_id)


_KEYS = frozenset({"tenant", "id", "version"})


def _endpoint_item(endpoint: WebhookEndpoint) -> Item:
    return _endpoint_key(endpoint.tenant, endpoint.id) | {
        "version": {"N": str(endpoint.version)},
        "settings": {"B": pack(to_json(to_saved(endpoint, but=_KEYS)))},
    }


def _endpoint(tenant: str, item: Item) -> WebhookEndpoint:
    saved = from_saved(WebhookEndpoint, json.loads(unpack(bytes(require_known(item)["settings"]["B"]))))
    saved |= {"events": tuple(saved["events"]), "version": int(item["version"]["N"])}
    return WebhookEndpoint(tenant=tenant, id=item["sk"]["S"], **saved)


def _deliveries(made: int) -> str:
    return f"delivery#{made:013d}#"


def _delivery_key(key: DeliveryKey) -> Item:
    return JobKey(key.tenant, key.of).item(f"{_deliveries(key.made)}{key.id}")


def _key_of(item: Item) -> DeliveryKey:
    owner = JobKey.of(item)
    _, made, delivery_id = item["sk"]["S"].split("#")
    return DeliveryKey(owner.tenant, owner.id, int(made), delivery_id)


_TIMES = ("trying_since", "try_at", "due_at")


def _delivery_item(delivery: Delivery) -> Item:
    item = _delivery_key(delivery.key) | {
        "event_id": {"S": delivery.event_id},
        "event": {"S": delivery.event},
        "endpoint": {"S": delivery.endpoint},
        "url": {"S": delivery.url},
        "body": {"B": zlib.compress(delivery.body)},
        "created": {"N": str(delivery.created_at)},
        "ttl": {"N": str(delivery.keep_until // SECOND)},
        "status": {"S": delivery.status},
        "tries": {"N": str(delivery.tries)},
        "version": {"N": str(delivery.version)},
    }
    if delivery.attempts:
        item["attempts"] = {"B": pack(to_json([to_saved(attempt) for attempt in delivery.attempts]))}
    if delivery.trace is not None:
        item["trace"] = {"B": delivery.trace.pack()}
    for name in _TIMES:
        if (at := getattr(delivery, name)) is not None:
            item[name] = {"N": str(at)}
    return item


_STATUSES = frozenset(DeliveryStatus)


def _known(item: Item) -> Iterator[Delivery]:
    with contextlib.suppress(NewerRow):
        yield _delivery(item)


def _delivery(item: Item) -> Delivery:
    """The delivery in an item. Raises NewerRow."""
    if require_known(item)["status"]["S"] not in _STATUSES:
        raise NewerRow(f"{item['sk']['S']} was written by a newer version of the service")
    attempts = json.loads(unpack(bytes(item["attempts"]["B"]))) if "attempts" in item else []
    times = {name: int(item[name]["N"]) for name in _TIMES if name in item}
    return Delivery(
        key=_key_of(item),
        event_id=item["event_id"]["S"],
        event=item["event"]["S"],
        endpoint=item["endpoint"]["S"],
        url=item["url"]["S"],
        body=zlib.decompress(bytes(item["body"]["B"])),
        created_at=int(item["created"]["N"]),
        keep_until=int(item["ttl"]["N"]) * SECOND,
        status=DeliveryStatus(item["status"]["S"]),
        tries=int(item["tries"]["N"]),
        version=int(item["version"]["N"]),
        attempts=tuple(DeliveryAttempt(**from_saved(DeliveryAttempt, one)) for one in attempts),
        trace=TraceContext.unpack(bytes(item["trace"]["B"])) if "trace" in item else None,
        **times,
    )
