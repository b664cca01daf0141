"""Enforces the limits of a tenant."""

from __future__ import annotations

from functools import partial

from coatcheck.core.aws.dynamodb import limit_items
from coatcheck.core.aws.flow import run_async
from coatcheck.core.errors import SubmitRateExceeded
from coatcheck.core.flows.take_token import BucketEmpty, take_token
from coatcheck.core.tenant_limits import TenantLimits
from coatcheck.core.token_bucket import BucketLevel, TokenBucket
from coatcheck_service.http.authentication import RequestContext

_SUBMITS = "submits"
"""The name of the bucket of a tenant's submits."""


async def limits_of(context: RequestContext) -> TenantLimits:
    """Return the limits of the caller's tenant, as they were at most half a minute ago."""
    dependencies = context.dependencies
    read = partial(dependencies.transport.send, limit_items.get_limits(dependencies.table, context.tenant))
    return await dependencies.limits.get(context.tenant, now=dependencies.clock(), read=read)


async def charge_submit(context: RequestContext, limits: TenantLimits) -> BucketLevel | None:
    """Count a submit; returns what is left of the tenant's rate, if it has one. Raises SubmitRateExceeded."""
    if limits.submit_rate is None:
        return None
    dependencies, now = context.dependencies, context.dependencies.clock()
    bucket, memory = TokenBucket(limits.submit_rate, limits.burst), dependencies.submit_buckets
    full = memory.is_full(context.tenant, bucket.spare, now)
    try:
        level = await run_async(
            dependencies.transport,
            take_token(dependencies.table, context.tenant, _SUBMITS, bucket, now=now, full=full),
        )
    except BucketEmpty as empty:
        detail = f"{bucket.rate:g} submits a second are allowed, {bucket.size} at once."
        raise SubmitRateExceeded(detail, empty.level, retry_after=max(1, empty.level.seconds_until_token)) from None
    memory.note(context.tenant, level, assumed_full=full)
    return level
