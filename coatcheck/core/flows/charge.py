"""Counts what a tenant uses, whatever state its bucket and its tallies are in."""

from __future__ import annotations

import logging

from coatcheck.core.aws.call import AwsError
from coatcheck.core.aws.dynamodb import usage_items
from coatcheck.core.aws.dynamodb.usage_items import Charged, Demand, Usage
from coatcheck.core.aws.flow import Flow, send
from coatcheck.core.clock import SECOND
from coatcheck.core.tallies import Count
from coatcheck.core.token_bucket import BucketLevel

log: logging.Logger = logging.getLogger(__name__)

MAX_TRIES = 5
"""Updates sent for one demand. The second is right, unless others change the item in between."""


class BucketEmpty(Exception):
    """No token is left. `level` says when there will be one."""

    def __init__(self, level: BucketLevel) -> None:
        super().__init__(f"no token for {level.seconds_until_token} s")
        self.level = level


class TallyFull(Exception):
    """A tally has no room for `count`: it is at `total`."""

    def __init__(self, count: Count, total: int) -> None:
        super().__init__(f"{count.tally} is {total} of {count.most}")
        self.count: Count = count
        self.total: int = total


def charge(table: str, tenant: str, demand: Demand, *, now: int, full: bool = True) -> Flow[Charged]:
    """Count all of a demand; `full` is what is assumed of its bucket. Raises BucketEmpty and TallyFull."""
    for _ in range(MAX_TRIES):
        outcome = yield from send(usage_items.charge(table, tenant, demand, now=now, full=full))
        dropped = yield from _drop_parts(table, tenant, outcome.usage, now)
        if isinstance(outcome, Charged):
            return outcome
        full_at = outcome.usage.numbers.get(demand.bucket_name)
        if demand.bucket is not None:
            if full_at is not None and full_at > demand.bucket.latest(now):
                raise BucketEmpty(BucketLevel(demand.bucket, full_at, now))
            full = full_at is None or full_at <= now * SECOND
        if not dropped:
            _check_room(demand, outcome.usage)
    # as many others want the same at this moment
    if demand.bucket is None:
        raise TallyFull(demand.counts[0], outcome.usage.total(demand.counts[0].tally))
    raise BucketEmpty(BucketLevel(demand.bucket, demand.bucket.latest(now) + 1, now))


def _check_room(demand: Demand, usage: Usage) -> None:
    for count in demand.counts:
        total = usage.total(count.tally)
        if count.most is not None and total + count.amount > count.most:
            raise TallyFull(count, total)


def _drop_parts(table: str, tenant: str, usage: Usage, now: int) -> Flow[bool]:
    """Take the parts that are over from their tallies; returns whether there were any. One write a day and tally."""
    parts = list(usage.parts_over(now))
    for tally, part, amount in parts:
        yield from send(usage_items.drop_part(table, tenant, tally, part, amount))
    return bool(parts)


def give_back(table: str, tenant: str, count: Count, of: str) -> Flow[None]:
    """Take the amount of what `of` names from its tally again. If that fails, it counts until its part is over."""
    if not count.amount:
        return
    try:
        yield from send(usage_items.give_back(table, tenant, count, of))
    except AwsError as error:
        log.warning("%s of tenant %s counts on for a while: %s", count.tally, tenant, error)
