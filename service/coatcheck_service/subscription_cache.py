"""Caches the events that a tenant's endpoints subscribe to for some seconds: each submit needs them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from coatcheck.core.clock import SECOND

TTL = 10 * SECOND
"""Milliseconds until a submit notices what another process has changed."""

MAX_TENANTS = 10_000


class SubscriptionCache:
    """The subscribed events of each of the tenants read last, `MAX_TENANTS` at most."""

    def __init__(self) -> None:
        self._entries: dict[str, tuple[int, tuple[str, ...]]] = {}
        self._generation = 0

    async def get(self, tenant: str, *, now: int, read: Callable[[], Awaitable[tuple[str, ...]]]) -> tuple[str, ...]:
        """Return what `read` returns, or returned less than `TTL` ago."""
        at, events = self._entries.get(tenant, (now - TTL, ()))
        if 0 <= now - at < TTL:
            return events
        generation = self._generation
        events = await read()
        # a read that overlapped a change of an endpoint may have the old state: do not cache it
        if generation == self._generation:
            self._store(tenant, now, events)
        return events

    def invalidate(self, tenant: str) -> None:
        """Discard the tenant's entry, because this process has changed one of its endpoints."""
        self._entries.pop(tenant, None)
        self._generation += 1

    def _store(self, tenant: str, now: int, events: tuple[str, ...]) -> None:
        self._entries.pop(tenant, None)
        self._entries[tenant] = now, events
        if len(self._entries) > MAX_TENANTS:
            del self._entries[next(iter(self._entries))]
