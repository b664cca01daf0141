"""Takes a token of a tenant's bucket, whatever state the bucket is in."""

from __future__ import annotations

from coatcheck.core.aws.dynamodb import bucket_items
from coatcheck.core.aws.dynamodb.bucket_items import NotTaken
from coatcheck.core.aws.flow import Flow, send
from coatcheck.core.token_bucket import BucketLevel, TokenBucket

MAX_TRIES = 5
"""Updates sent for one token. The second is right, unless others change the bucket in between."""


class BucketEmpty(Exception):
    """No token is left. `level` says when there will be one."""

    def __init__(self, level: BucketLevel) -> None:
        super().__init__(f"no token for {level.seconds_until_token} s")
        self.level = level


def take_token(
    table: str, tenant: str, name: str, bucket: TokenBucket, *, now: int, full: bool = True
) -> Flow[BucketLevel]:
    """Take a token; `full` is what is assumed of the bucket. Returns its level after that. Raises BucketEmpty."""
    latest = bucket.latest(now)
    for _ in range(MAX_TRIES):
        outcome = yield from send(bucket_items.take_token(table, tenant, name, bucket, now=now, full=full))
        if not isinstance(outcome, NotTaken):
            return outcome
        if outcome.full_at is not None and outcome.full_at > latest:
            raise BucketEmpty(BucketLevel(bucket, outcome.full_at, now))
        full = outcome.is_full(now)
    # as many others want one at this moment
    raise BucketEmpty(BucketLevel(bucket, latest + 1, now))
