"""Caches the limits of tenants, and what this process knows of their token buckets."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from coatcheck.core.clock import SECOND
from coatcheck.core.expiring_map import ExpiringMap
from coatcheck.core.tenant_limits import TTL, TenantLimits
from coatcheck.core.token_bucket import BucketLevel

MAX_TENANTS = 10_000

BUCKET_TTL = 10 * SECOND
"""Milliseconds for which a bucket that others use too is assumed to be in use."""


class LimitsCache:
    """The limits of the tenants that were read last."""

    def __init__(self) -> None:
        self._limits: ExpiringMap[str, TenantLimits] = ExpiringMap(TTL, MAX_TENANTS)
        self._reads: dict[str, asyncio.Task[TenantLimits]] = {}
        self._generation = 0

    async def get(self, tenant: str, *, now: int, read: Callable[[], Awaitable[TenantLimits]]) -> TenantLimits:
        """Return what `read` returns, or returned less than `TTL` ago. Those who ask at once share one read."""
        if (limits := self._limits.fresh(tenant, now)) is not None:
            return limits
        if tenant not in self._reads:
            self._reads[tenant] = asyncio.create_task(self._read(tenant, now, read))
        # whoever asked first may go away, and the others still want it
        return await asyncio.shield(self._reads[tenant])

    def invalidate(self, tenant: str) -> None:
        """Discard the tenant's limits, because this process has changed them."""
        self._limits.discard(tenant)
        self._generation += 1

    async def _read(self, tenant: str, now: int, read: Callable[[], Awaitable[TenantLimits]]) -> TenantLimits:
        generation = self._generation
        try:
            limits = await read()
        finally:
            del self._reads[tenant]
        # a read that overlapped a change may have the old limits
        if generation == self._generation:
            self._limits.store(tenant, limits, now)
        return limits


class BucketMemory:
    """What this process has seen of the buckets: enough to assume rightly, most of the time, whether one is full."""

    def __init__(self) -> None:
        self._seen: ExpiringMap[str, tuple[int, bool]] = ExpiringMap(BUCKET_TTL, MAX_TENANTS)

    def is_full(self, tenant: str, spare: int, now: int) -> bool:
        """Whether to assume that the bucket is full: nobody was seen to use it just now."""
        full_at, shared = self._seen.fresh(tenant, now) or (0, False)
        return not shared and full_at < now * SECOND - spare

    def note(self, tenant: str, level: BucketLevel, *, assumed_full: bool) -> None:
        """Remember the level that a token left."""
        was_full = level.full_at == level.now * SECOND + level.bucket.interval
        _, shared = self._seen.fresh(tenant, level.now) or (0, False)
        self._seen.store(tenant, (level.full_at, not was_full and (assumed_full or shared)), level.now)
