"""What is remembered of who listens: for how long, of how many, and not across a change."""

from __future__ import annotations

import asyncio

from service import subscriptions
from service.subscriptions import KEPT, MOST_TENANTS, Subscriptions


class Store:
    """What is read, and how often."""

    def __init__(self, *events: str) -> None:
        self.events = events
        self.reads = 0

    async def read(self) -> tuple[str, ...]:
        self.reads += 1
        return self.events


async def test_what_is_known_is_not_read_again_for_a_while() -> None:
    known, store = Subscriptions(), Store("a")
    for now in (0, 1, KEPT - 1):
        assert await known.of("t", now=now, read=store.read) == ("a",)
    assert store.reads == 1
    await known.of("t", now=KEPT, read=store.read)
    assert store.reads == 2


async def test_tenants_do_not_meet() -> None:
    known = Subscriptions()
    assert await known.of("t", now=0, read=Store("a").read) == ("a",)
    assert await known.of("u", now=0, read=Store("b").read) == ("b",)


async def test_what_was_read_while_it_was_changed_is_not_kept() -> None:
    known, store, may_answer = Subscriptions(), Store("new"), asyncio.Event()

    async def slow() -> tuple[str, ...]:
        await may_answer.wait()
        return ("old",)

    reading = asyncio.create_task(known.of("t", now=0, read=slow))
    await asyncio.sleep(0)
    known.forget("t")
    may_answer.set()
    assert await reading == ("old",)
    assert await known.of("t", now=0, read=store.read) == ("new",)


async def test_it_is_bounded() -> None:
    known, store = Subscriptions(), Store()
    for n in range(MOST_TENANTS + 1):
        await known.of(f"t{n}", now=0, read=store.read)
    assert store.reads == MOST_TENANTS + 1
    await known.of(f"t{MOST_TENANTS}", now=0, read=store.read)
    await known.of("t1", now=0, read=store.read)
    assert store.reads == MOST_TENANTS + 1
    await known.of("t0", now=0, read=store.read)
    assert store.reads == MOST_TENANTS + 2
    assert subscriptions.KEPT == 10_000
