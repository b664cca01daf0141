"""What a tenant's endpoints want to be told of: asked for at each submit, and remembered for some seconds."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from coatcheck.clock import SECOND

KEPT = 10 * SECOND
"""Milliseconds until a submit notices what another process has changed."""

MOST_TENANTS = 10_000


class Subscriptions:
    """The events that are wanted by each of the tenants last asked for."""

    def __init__(self) -> None:
        self._known: dict[str, tuple[int, tuple[str, ...]]] = {}
        self._forgotten = 0

    async def of(self, tenant: str, *, now: int, read: Callable[[], Awaitable[tuple[str, ...]]]) -> tuple[str, ...]:
        """What `read` gives, or gave at most `KEPT` ago."""
        at, events = self._known.get(tenant, (now - KEPT, ()))
        if 0 <= now - at < KEPT:
            return events
        forgotten = self._forgotten
        events = await read()
        # what was read while an endpoint was being changed may be what stood before
        if forgotten == self._forgotten:
            self._remember(tenant, now, events)
        return events

    def forget(self, tenant: str) -> None:
        """An endpoint of the tenant is changed by this process: that counts from now on."""
        self._known.pop(tenant, None)
        self._forgotten += 1

    def _remember(self, tenant: str, now: int, events: tuple[str, ...]) -> None:
        self._known.pop(tenant, None)
        self._known[tenant] = now, events
        if len(self._known) > MOST_TENANTS:
            del self._known[next(iter(self._known))]
