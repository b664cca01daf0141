"""How often keys are looked up, and for how long a process takes an answer for good. The time is an argument."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field, replace

import pytest

from coatcheck.core.api_keys import TENANT_SCOPES, ApiKey
from coatcheck.core.errors import Unavailable
from coatcheck.core.expiring_map import ExpiringMap
from coatcheck_service import api_key_cache
from coatcheck_service.api_key_cache import MAX_KEYS, MAX_UNKNOWN, TTL, UNKNOWN_TTL, ApiKeyCache

NOW = 1_800_000_000_000
KEY = ApiKey("key_1", bytes(32), "acme", TENANT_SCOPES, NOW)


@dataclass
class Lookups:
    """A table of keys, and a cache in front of it."""

    keys: dict[str, ApiKey] = field(default_factory=dict)
    cache: ApiKeyCache = field(default_factory=ApiKeyCache)
    reads: list[str] = field(default_factory=list)

    async def get(self, key_id: str, now: int) -> ApiKey | None:
        async def read() -> ApiKey | None:
            self.reads.append(key_id)
            return self.keys.get(key_id)

        return await self.cache.get(key_id, now=now, read=read)


async def test_a_key_is_read_once_in_thirty_seconds_and_a_revocation_is_known_after_them() -> None:
    lookups = Lookups({"key_1": KEY})
    for passed in (0, 1, TTL - 1):
        assert await lookups.get("key_1", NOW + passed) == KEY
    assert lookups.reads == ["key_1"]
    lookups.keys["key_1"] = replace(KEY, revoked_at=NOW)
    assert await lookups.get("key_1", NOW + TTL) == lookups.keys["key_1"]
    assert TTL <= 60_000


async def test_a_key_that_is_gone_is_unknown_after_them() -> None:
    lookups = Lookups({"key_1": KEY})
    await lookups.get("key_1", NOW)
    lookups.keys.clear()
    assert await lookups.get("key_1", NOW + TTL) is None
    assert await lookups.get("key_1", NOW + TTL + 1) is None
    assert len(lookups.reads) == 2


async def test_an_unknown_id_is_looked_up_again_after_five_seconds() -> None:
    lookups = Lookups()
    for passed in (0, UNKNOWN_TTL - 1):
        assert await lookups.get("key_1", NOW + passed) is None
    assert len(lookups.reads) == 1
    lookups.keys["key_1"] = KEY
    assert await lookups.get("key_1", NOW + UNKNOWN_TTL) == KEY


async def test_a_clock_that_goes_back_makes_no_entry_last_longer() -> None:
    lookups = Lookups({"key_1": KEY})
    await lookups.get("key_1", NOW)
    await lookups.get("key_1", NOW - 1)
    assert len(lookups.reads) == 2


async def test_whoever_tries_one_id_after_the_other_has_few_looked_up_and_keeps_out_nobody_who_is_known() -> None:
    lookups = Lookups({"key_1": KEY, "key_2": KEY})
    await lookups.get("key_1", NOW - TTL)
    for number in range(MAX_UNKNOWN):
        assert await lookups.get(f"key_x{number}", NOW) is None
    with pytest.raises(Unavailable) as refused:
        await lookups.get("key_y", NOW + 1)
    assert refused.value.retry_after == UNKNOWN_TTL // 1000
    assert len(lookups.reads) == 1 + MAX_UNKNOWN
    # known, though to be read again
    assert await lookups.get("key_1", NOW + 1) == KEY
    assert await lookups.get("key_2", NOW + UNKNOWN_TTL) == KEY


def test_what_is_kept_is_bounded() -> None:
    kept: ExpiringMap[int, int] = ExpiringMap(ttl=10, size=2)
    for number in (1, 2, 1, 3):
        kept.store(number, number, NOW)
    assert [number for number in (1, 2, 3) if number in kept] == [1, 3]
    assert kept.is_full(NOW)
    assert not kept.is_full(NOW + 10)
    assert MAX_KEYS <= 10_000


async def test_the_imported_ids_are_read_once_in_thirty_seconds_even_if_there_are_none() -> None:
    cache, reads = ApiKeyCache(), []

    async def read() -> frozenset[str]:
        reads.append(1)
        return frozenset()

    for passed in (0, TTL - 1, TTL):
        assert await cache.imported(now=NOW + passed, read=read) == frozenset()
    assert len(reads) == 2
    assert api_key_cache.TTL == 30_000


async def test_those_who_ask_at_once_share_one_read_though_the_first_goes_away() -> None:
    cache, read_it, reads = ApiKeyCache(), asyncio.Event(), []

    async def read() -> ApiKey:
        reads.append(1)
        await read_it.wait()
        return KEY

    first, *others = (asyncio.create_task(cache.get("key_1", now=NOW, read=read)) for _ in range(5))
    await asyncio.sleep(0)
    first.cancel()
    read_it.set()
    assert await asyncio.gather(*others) == [KEY] * 4
    assert len(reads) == 1


async def test_a_read_that_fails_is_made_again() -> None:
    lookups = Lookups({"key_1": KEY})

    async def fail() -> ApiKey:
        raise Unavailable("not now")

    with pytest.raises(Unavailable):
        await lookups.cache.get("key_1", now=NOW, read=fail)
    assert await lookups.get("key_1", NOW) == KEY


async def test_one_use_in_an_hour_is_news_and_makes_no_key_fresher() -> None:
    lookups = Lookups({"key_1": KEY})
    await lookups.get("key_1", NOW)
    assert [lookups.cache.note_use("key_1", now=NOW + passed) for passed in (TTL - 2, TTL - 1, TTL)] == [
        True,
        False,
        False,
    ]
    lookups.keys["key_1"] = replace(KEY, revoked_at=NOW)
    assert await lookups.get("key_1", NOW + TTL) == lookups.keys["key_1"]
