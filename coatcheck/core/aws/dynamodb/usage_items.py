"""What a tenant uses: token buckets and tallies, numbers in one item, all changed by one conditional update.

An update cannot take the later of two times, a bucket's and now. So there are two: one for a bucket in use and one for
a bucket that is full. A process has to assume which it is; if that is wrong, the answer says so, and nothing is
changed. In between, both are right: `TokenBucket.spare`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from coatcheck.core.aws.call import AwsResponse, Call
from coatcheck.core.aws.dynamodb.expressions import Expression
from coatcheck.core.aws.dynamodb.keys import AttributeValue, Item, JobKey
from coatcheck.core.clock import DAY, SECOND
from coatcheck.core.tallies import Count, Tally, is_over
from coatcheck.core.token_bucket import BucketLevel, TokenBucket

_USAGE = "usage"
"""Not the id of any job or upload: with the tenant in front of it, the partition of what the tenant uses."""

RETENTION = 500 * DAY
"""Milliseconds after which the item of a tenant that does nothing may go: all its parts are over by then."""

_CONDITION_FAILED = "ConditionalCheckFailedException"


@dataclass(frozen=True, slots=True)
class Demand:
    """What a request uses: a token of a bucket, if it has a name, and amounts of tallies."""

    counts: Sequence[Count] = ()
    bucket_name: str = ""
    bucket: TokenBucket | None = None


@dataclass(frozen=True, slots=True)
class Usage:
    """The numbers of the item."""

    numbers: Mapping[str, int]

    @classmethod
    def of(cls, item: Mapping[str, AttributeValue]) -> Usage:
        """The numbers in an item; what is no number is of a newer version."""
        return cls({name: int(value["N"]) for name, value in item.items() if "N" in value})

    def total(self, tally: Tally) -> int:
        """The sum of a tally, with what no longer counts and was not taken from it yet."""
        return self.numbers.get(tally, 0)

    def parts_over(self, now: int) -> Iterator[tuple[Tally, str, int]]:
        """The parts that no longer count, with their amounts."""
        for name, amount in self.numbers.items():
            tally, _, day = name.rpartition("_")
            if tally in set(Tally) and day.isdecimal() and is_over(name, now):
                yield Tally(tally), name, amount


@dataclass(frozen=True, slots=True)
class Charged:
    """All was counted. `level` is that of the bucket, after it."""

    usage: Usage
    level: BucketLevel | None


@dataclass(frozen=True, slots=True)
class NotCharged:
    """Nothing was counted. `usage` is what was found."""

    usage: Usage


def charge(table: str, tenant: str, demand: Demand, *, now: int, full: bool) -> Call[Charged | NotCharged]:
    """Count all of a demand or nothing. `full` is what is assumed of its bucket."""
    e = Expression()
    holds = [_take(e, demand.bucket_name, demand.bucket, now=now, full=full)] if demand.bucket else []
    for count in demand.counts:
        total, part, amount = e.name(count.tally), e.name(count.part), e.number(count.amount)
        for name in (total, part):
            e.add(f"{name} = if_not_exists({name}, {e.number(0)}) + {amount}")
        if count.most is not None:
            room = f"{total} <= {e.number(count.most - count.amount)}"
            holds.append(f"(attribute_not_exists({total}) OR {room})" if count.amount <= count.most else room)
    e.assign("ttl", {"N": str((now + RETENTION) // SECOND)})
    params: dict[str, Any] = {
        "TableName": table,
        "Key": usage_key(tenant),
        **e.update(),
        "ReturnValues": "ALL_NEW",
        "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
    }
    if holds:
        params["ConditionExpression"] = " AND ".join(holds)

    def charged(response: AwsResponse) -> Charged:
        usage = Usage.of(response["Attributes"])
        level = BucketLevel(demand.bucket, usage.numbers[demand.bucket_name], now) if demand.bucket else None
        return Charged(usage, level)

    refused = {_CONDITION_FAILED: lambda response: NotCharged(Usage.of(response.get("Item", {})))}
    return Call("dynamodb", "UpdateItem", params, charged, refused)


def _take(e: Expression, name: str, bucket: TokenBucket, *, now: int, full: bool) -> str:
    full_at, moment = e.name(name), now * SECOND
    if full:
        e.add(f"{full_at} = {e.number(moment + bucket.interval)}")
        return f"(attribute_not_exists({full_at}) OR {full_at} <= {e.number(moment)})"
    e.add(f"{full_at} = {full_at} + {e.number(bucket.interval)}")
    return f"({full_at} BETWEEN {e.number(moment - bucket.spare)} AND {e.number(bucket.latest(now))})"


def give_back(table: str, tenant: str, count: Count, of: str) -> Call[bool]:
    """Take an amount from its tally again; `of` names what was counted, and is unlike any other name.

    Returns False if its part is over or has less than that, or if the last that was given back is this one: a reply was
    lost, and the SDK repeated the call.
    """
    e = Expression()
    last = f"{count.tally}_returned"
    e.assign(last, {"S": of})
    part, amount = e.name(count.part), e.number(count.amount)
    e.add(f"{part} = {part} - {amount}")
    e.add(f"{e.name(count.tally)} = {e.name(count.tally)} - {amount}")
    return _update_if(
        table,
        tenant,
        e,
        f"{part} >= {amount} AND (attribute_not_exists({e.name(last)}) OR {e.name(last)} <> {e.text(of)})",
    )


def drop_part(table: str, tenant: str, tally: Tally, part: str, amount: int) -> Call[bool]:
    """Take a part that is over from its tally; returns False if it has changed, or another was faster."""
    e = Expression()
    e.assign(part, None)
    e.add(f"{e.name(tally)} = {e.name(tally)} - {e.number(amount)}")
    return _update_if(table, tenant, e, f"{e.name(part)} = {e.number(amount)}")


def _update_if(table: str, tenant: str, e: Expression, holds: str) -> Call[bool]:
    params = {"TableName": table, "Key": usage_key(tenant), "ConditionExpression": holds, **e.update()}
    return Call("dynamodb", "UpdateItem", params, lambda _: True, {_CONDITION_FAILED: lambda _: False})


def get_usage(table: str, tenant: str) -> Call[Usage]:
    """What a tenant uses now (a strongly consistent read)."""
    params = {"TableName": table, "Key": usage_key(tenant), "ConsistentRead": True}
    return Call("dynamodb", "GetItem", params, lambda answer: Usage.of(answer.get("Item", {})))


def usage_key(tenant: str) -> Item:
    """The primary key of the item with what a tenant uses."""
    return JobKey(tenant, _USAGE).item(_USAGE)
