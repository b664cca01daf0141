"""The events that a tenant's endpoints subscribe to: read at each submit, and cached for some seconds."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from coatcheck.core.clock import SECOND

TTL = 10 * SECOND
"""Milliseconds until a submit notices what another process has changed."""

MAX_TENANTS = 10_000


class SubscriptionCache:
    """The events that are wanted by each of the tenants last asked for."""

    def __init__(self) -> None:
        self._entries: dict[str, tuple[int, tuple[str, ...]]] = {}
        self._generation = 0

    async def get(self, tenant: str, *, now: int, read: Callable[[], Awaitable[tuple[str, ...]]]) -> tuple[str, ...]:
        """What `read` gives, or gave at most `TTL` ago."""
        at, events = self._entries.get(tenant, (now - TTL, ()))
        if 0 <= now - at < TTL:
            return events
        generation = self._generation
        events = await read()
        # what was read while an endpoint was being changed may be what stood before
        if generation == self._generation:
            self._store(tenant, now, events)
        return events

    def invalidate(self, tenant: str) -> None:
        """An endpoint of the tenant is changed by this process: that counts from now on."""
        self._entries.pop(tenant, None)
        self._generation += 1

    def _store(self, tenant: str, now: int, events: tuple[str, ...]) -> None:
        self._entries.pop(tenant, None)
        self._entries[tenant] = now, events
        if len(self._entries) > MAX_TENANTS:
            del self._entries[next(iter(self._entries))]
