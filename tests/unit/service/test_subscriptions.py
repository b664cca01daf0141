"""What is remembered of who listens: for how long, of how many, and not across a change."""

from __future__ import annotations

import asyncio

from coatcheck_service import subscription_cache
from coatcheck_service.subscription_cache import MAX_TENANTS, TTL, SubscriptionCache


class Store:
    """What is read, and how often."""

    def __init__(self, *events: str) -> None:
        self.events = events
        self.reads = 0

    async def read(self) -> tuple[str, ...]:
        self.reads += 1
        return self.events


async def test_what_is_known_is_not_read_again_for_a_while() -> None:
    cache, store = SubscriptionCache(), Store("a")
    for now in (0, 1, TTL - 1):
        assert await cache.get("t", now=now, read=store.read) == ("a",)
    assert store.reads == 1
    await cache.get("t", now=TTL, read=store.read)
    assert store.reads == 2


async def test_tenants_do_not_meet() -> None:
    cache = SubscriptionCache()
    assert await cache.get("t", now=0, read=Store("a").read) == ("a",)
    assert await cache.get("u", now=0, read=Store("b").read) == ("b",)


async def test_what_was_read_while_it_was_changed_is_not_kept() -> None:
    cache, store, may_answer = SubscriptionCache(), Store("new"), asyncio.Event()

    async def slow() -> tuple[str, ...]:
        await may_answer.wait()
        return ("old",)

    reading = asyncio.create_task(cache.get("t", now=0, read=slow))
    await asyncio.sleep(0)
    cache.invalidate("t")
    may_answer.set()
    assert await reading == ("old",)
    assert await cache.get("t", now=0, read=store.read) == ("new",)


async def test_it_is_bounded() -> None:
    cache, store = SubscriptionCache(), Store()
    for n in range(MAX_TENANTS + 1):
        await cache.get(f"t{n}", now=0, read=store.read)
    assert store.reads == MAX_TENANTS + 1
    await cache.get(f"t{MAX_TENANTS}", now=0, read=store.read)
    await cache.get("t1", now=0, read=store.read)
    assert store.reads == MAX_TENANTS + 1
    await cache.get("t0", now=0, read=store.read)
    assert store.reads == MAX_TENANTS + 2
    assert subscription_cache.TTL == 10_000
