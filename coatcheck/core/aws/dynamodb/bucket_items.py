"""The token buckets of a tenant: numbers in one item, each changed by one conditional update.

An update cannot take the later of two times, the bucket's and now. So there are two: one for a bucket in use and one
for a bucket that is full. A process has to assume which it is; if that is wrong, the answer says so, and nothing is
changed. In between, both are right: `TokenBucket.spare`.
"""

from __future__ import annotations

from dataclasses import dataclass

from coatcheck.core.aws.call import AwsResponse, Call
from coatcheck.core.aws.dynamodb.expressions import Expression
from coatcheck.core.aws.dynamodb.keys import Item, JobKey
from coatcheck.core.clock import DAY, SECOND
from coatcheck.core.token_bucket import BucketLevel, TokenBucket

_USAGE = "usage"
"""Not the id of any job or upload: with the tenant in front of it, the partition of what the tenant uses."""

RETENTION = 7 * DAY
"""Milliseconds after which the item of a tenant that does nothing may go, but never before its buckets are full."""


@dataclass(frozen=True, slots=True)
class NotTaken:
    """No token was taken. `full_at` is the state of the bucket, None where it has none."""

    full_at: int | None

    def is_full(self, now: int) -> bool:
        """Whether the update for a full bucket would have been right."""
        return self.full_at is None or self.full_at <= now * SECOND


def take_token(
    table: str, tenant: str, name: str, bucket: TokenBucket, *, now: int, full: bool
) -> Call[BucketLevel | NotTaken]:
    """Take a token of the bucket with that name, which is assumed to be full or not; returns its level after that."""
    e = Expression()
    full_at, moment = e.name(name), now * SECOND
    if full:
        holds = f"attribute_not_exists({full_at}) OR {full_at} <= {e.number(moment)}"
        e.add(f"{full_at} = {e.number(moment + bucket.interval)}")
    else:
        holds = f"{full_at} BETWEEN {e.number(moment - bucket.spare)} AND {e.number(bucket.latest(now))}"
        e.add(f"{full_at} = {full_at} + {e.number(bucket.interval)}")
    e.assign("ttl", {"N": str((now + RETENTION) // SECOND + bucket.seconds)})
    params = {
        "TableName": table,
        "Key": usage_key(tenant),
        "ConditionExpression": holds,
        **e.update(),
        "ReturnValues": "UPDATED_NEW",
        "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
    }

    def taken(response: AwsResponse) -> BucketLevel:
        return BucketLevel(bucket, int(response["Attributes"][name]["N"]), now)

    def refused(response: AwsResponse) -> NotTaken:
        found = response.get("Item", {}).get(name)
        return NotTaken(int(found["N"]) if found else None)

    return Call("dynamodb", "UpdateItem", params, taken, {"ConditionalCheckFailedException": refused})


def usage_key(tenant: str) -> Item:
    """The primary key of the item with what a tenant uses."""
    return JobKey(tenant, _USAGE).item(_USAGE)
