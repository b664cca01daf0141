"""Enforces the limits of a tenant."""

from __future__ import annotations

import logging
from functools import partial
from typing import assert_never

from coatcheck.core import tallies
from coatcheck.core.aws.call import AwsError
from coatcheck.core.aws.dynamodb import limit_items
from coatcheck.core.aws.dynamodb.usage_items import Demand
from coatcheck.core.aws.flow import run_async
from coatcheck.core.clock import HOUR, MINUTE, SECOND, milliseconds
from coatcheck.core.errors import (
    ServiceError,
    StorageQuotaExceeded,
    SubmitRateExceeded,
    TooManyJobsWaiting,
    TooManyWebhookTests,
)
from coatcheck.core.flows.charge import BucketEmpty, TallyFull, charge, give_back
from coatcheck.core.job import Job
from coatcheck.core.tallies import Count, Tally
from coatcheck.core.tenant_limits import NO_LIMITS, WEBHOOK_TESTS_PER_HOUR, TenantLimits
from coatcheck.core.token_bucket import BucketLevel, TokenBucket
from coatcheck_service.http.authentication import RequestContext

log: logging.Logger = logging.getLogger(__name__)

_SUBMITS = "submits"
_WEBHOOK_TESTS = "webhook_tests"
_WAITS = "waits"
"""The names of a tenant's buckets."""

ALL_TENANTS = "*"
"""What all tenants use together is counted under this name, which no tenant can have."""

WAITING_RETRY, STORED_RETRY = 10, 600
"""Seconds after which it is worth asking again whether jobs have started, or bytes have gone."""


async def limits_of(context: RequestContext) -> TenantLimits:
    """Return the limits of the caller's tenant, as they were at most half a minute ago."""
    dependencies = context.dependencies
    read = partial(dependencies.transport.send, limit_items.get_limits(dependencies.table, context.tenant))
    return await dependencies.limits.get(context.tenant, now=dependencies.clock(), read=read)


async def charge_submit(context: RequestContext, limits: TenantLimits, job: Job) -> BucketLevel | None:
    """Count a submit, and the job in the tallies that it names; returns what is left of the tenant's rate, if any.

    Raises SubmitRateExceeded, TooManyJobsWaiting and StorageQuotaExceeded.
    """
    dependencies, now = context.dependencies, context.dependencies.clock()
    bucket = None if limits.submit_rate is None else TokenBucket(limits.submit_rate, limits.burst)
    demand = Demand(_counts(limits, job), _SUBMITS, bucket)
    memory = dependencies.submit_buckets
    full = bucket is None or memory.is_full(context.tenant, bucket.spare, now)
    flow = charge(dependencies.table, context.tenant, demand, now=now, full=full)
    try:
        level = (await run_async(dependencies.transport, flow)).level
    except BucketEmpty as empty:
        rate = empty.level.bucket
        detail = f"{rate.rate:g} submits a second are allowed, {rate.size} at once."
        raise SubmitRateExceeded(detail, empty.level, retry_after=max(1, empty.level.seconds_until_token)) from None
    except TallyFull as full_tally:
        raise _full_error(full_tally) from None
    if level:
        memory.note(context.tenant, level, assumed_full=full)
    return level


def tallies_of(limits: TenantLimits) -> tuple[Tally, ...]:
    """Return the tallies that a job of a tenant with these limits is counted in."""
    of_limits = {Tally.WAITING: limits.jobs_waiting, Tally.STORED: limits.bytes_stored}
    return tuple(tally for tally, limit in of_limits.items() if limit is not None)


def _counts(limits: TenantLimits, job: Job) -> list[Count]:
    counts = {
        Tally.WAITING: tallies.waiting(job, limits.jobs_waiting),
        Tally.STORED: tallies.stored_input(job, limits.bytes_stored),
    }
    return [count for tally, count in counts.items() if tally in job.counted]


def _full_error(full: TallyFull) -> ServiceError:
    match full.count.tally:
        case Tally.WAITING:
            detail = f"{full.total} jobs wait, and {full.count.most} may."
            return TooManyJobsWaiting(detail, retry_after=WAITING_RETRY)
        case Tally.STORED:
            detail = (
                f"{full.total} bytes are stored, and {full.count.most} may be; this needs {full.count.amount} more."
            )
            return StorageQuotaExceeded(detail, retry_after=STORED_RETRY)
        case _:
            assert_never(full.count.tally)


async def uncharge_submit(context: RequestContext, job: Job) -> None:
    """Take a job that was not made from the tallies again."""
    for count in _counts(NO_LIMITS, job):
        flow = give_back(context.dependencies.table, job.tenant, count, of=f"submit of {tallies.named(job)}")
        await run_async(context.dependencies.transport, flow)


async def charge_upload(context: RequestContext, limits: TenantLimits, size: int) -> None:
    """Count an upload among the bytes that are stored, if they are limited. Raises StorageQuotaExceeded."""
    if limits.bytes_stored is None:
        return
    dependencies, now = context.dependencies, context.dependencies.clock()
    until = now + milliseconds(dependencies.settings.max_retention)
    demand = Demand((Count(Tally.STORED, size, until, limits.bytes_stored),))
    try:
        await run_async(dependencies.transport, charge(dependencies.table, context.tenant, demand, now=now))
    except TallyFull as full_tally:
        raise _full_error(full_tally) from None


async def charge_webhook_test(context: RequestContext) -> None:
    """Count a test ping or a resend. Raises TooManyWebhookTests."""
    dependencies = context.dependencies
    limit = (await limits_of(context)).webhook_tests_per_hour
    allowed = WEBHOOK_TESTS_PER_HOUR if limit is None else limit
    detail = f"{allowed} test pings and resends an hour are allowed."
    if not allowed:
        raise TooManyWebhookTests(detail, retry_after=HOUR // SECOND)
    bucket = TokenBucket(allowed * SECOND / HOUR, allowed)
    demand = Demand((), _WEBHOOK_TESTS, bucket)
    flow = charge(dependencies.table, context.tenant, demand, now=dependencies.clock())
    try:
        await run_async(dependencies.transport, flow)
    except BucketEmpty as empty:
        raise TooManyWebhookTests(detail, retry_after=max(1, empty.level.seconds_until_token)) from None


async def charge_wait(context: RequestContext) -> bool:
    """Count a request that would wait for its job; returns whether it may, by its tenant's limit and by that of all.

    If that cannot be counted, it may not: an answer that comes at once is always right.
    """
    of_all = context.dependencies.settings.waits_per_minute or None
    try:
        of_tenant = (await limits_of(context)).waits_per_minute
        return await _may_wait(context, context.tenant, of_tenant) and await _may_wait(context, ALL_TENANTS, of_all)
    except AwsError as error:
        log.warning("a request does not wait for its job, as that cannot be counted: %s", error)
        return False


async def _may_wait(context: RequestContext, who: str, allowed: int | None) -> bool:
    if not allowed:
        return allowed is None
    dependencies = context.dependencies
    demand = Demand((), _WAITS, TokenBucket(allowed * SECOND / MINUTE, allowed))
    try:
        await run_async(dependencies.transport, charge(dependencies.table, who, demand, now=dependencies.clock()))
    except BucketEmpty:
        return False
    return True
