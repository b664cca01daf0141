"""Enforces the limits of a tenant."""

from __future__ import annotations

from functools import partial

from coatcheck.core.aws.dynamodb import limit_items
from coatcheck.core.aws.flow import run_async
from coatcheck.core.clock import HOUR, SECOND
from coatcheck.core.errors import SubmitRateExceeded, TooManyWebhookTests
from coatcheck.core.flows.take_token import BucketEmpty, take_token
from coatcheck.core.tenant_limits import WEBHOOK_TESTS_PER_HOUR, TenantLimits
from coatcheck.core.token_bucket import BucketLevel, TokenBucket
from coatcheck_service.http.authentication import RequestContext

_SUBMITS = "submits"
_WEBHOOK_TESTS = "webhook_tests"
"""The names of a tenant's buckets."""


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


async def charge_webhook_test(context: RequestContext) -> None:
    """Count a test ping or a resend. Raises TooManyWebhookTests."""
    dependencies = context.dependencies
    limit = (await limits_of(context)).webhook_tests_per_hour
    allowed = WEBHOOK_TESTS_PER_HOUR if limit is None else limit
    detail = f"{allowed} test pings and resends an hour are allowed."
    if not allowed:
        raise TooManyWebhookTests(detail, retry_after=HOUR // SECOND)
    bucket = TokenBucket(allowed * SECOND / HOUR, allowed)
    flow = take_token(dependencies.table, context.tenant, _WEBHOOK_TESTS, bucket, now=dependencies.clock())
    try:
        await run_async(dependencies.transport, flow)
    except BucketEmpty as empty:
        raise TooManyWebhookTests(detail, retry_after=max(1, empty.level.seconds_until_token)) from None
