"""For how long a process goes by what it knew of whom to trust."""

from __future__ import annotations

import json
from typing import Any

from coatcheck.core.principal import Principal
from coatcheck.core.trust_policy import TrustPolicy
from coatcheck_service.trust_cache import TTL, TrustCache

NOW = 1_800_000_000_000
ISSUER = {"issuer": "https://login.example.com", "audiences": ["jobs"]}
ACME = Principal("acme", frozenset({"jobs:read"}), expires_at=NOW + TTL * 2)


def policy(**changes: Any) -> TrustPolicy:
    return TrustPolicy.parse(json.dumps({"issuers": [ISSUER | changes]}))


class Reads:
    """A table whose policy changes."""

    def __init__(self) -> None:
        self.policy = policy()
        self.count = 0

    async def __call__(self) -> TrustPolicy:
        self.count += 1
        return self.policy


async def test_the_policy_is_read_again_after_its_time() -> None:
    cache, table = TrustCache(), Reads()
    for now, count in ((NOW, 1), (NOW + TTL - 1, 1), (NOW + TTL, 2), (NOW, 3)):
        assert await cache.policy(now=now, read=table) == table.policy
        assert table.count == count


async def test_a_verified_token_is_kept_until_it_expires_or_the_policy_changes() -> None:
    cache, table = TrustCache(), Reads()
    await cache.policy(now=NOW, read=table)
    cache.note_verified("t", ACME, NOW)
    assert cache.verified("t", NOW + TTL - 1) == ACME
    assert cache.verified("t", NOW + TTL) is None
    assert cache.verified("u", NOW) is None

    start = NOW + TTL + TTL // 2
    cache.note_verified("t", ACME, start)
    assert cache.verified("t", NOW + TTL * 2 - 1) == ACME
    assert cache.verified("t", NOW + TTL * 2) is None, "it has expired"

    # the same policy, read again, changes nothing
    await cache.policy(now=NOW + TTL, read=table)
    cache.note_verified("t", ACME, NOW + TTL)
    await cache.policy(now=NOW + TTL, read=table)
    assert cache.verified("t", NOW + TTL + 1) == ACME
    table.policy = policy(audiences=["others"])
    await cache.policy(now=NOW + TTL * 2 - 1, read=table)
    assert cache.verified("t", NOW + TTL + 2) == ACME, "the policy is not read yet"
    await cache.policy(now=NOW + TTL * 3, read=table)
    cache.note_verified("u", ACME, NOW)
    assert cache.verified("t", NOW + TTL + 2) is None


async def test_the_keys_of_an_issuer_are_kept_while_it_is_trusted() -> None:
    cache, table = TrustCache(), Reads()
    (issuer,) = (await cache.policy(now=NOW, read=table)).issuers
    keys = cache.keys_of(issuer)
    await cache.policy(now=NOW + TTL, read=table)
    assert cache.keys_of(issuer) is keys
    table.policy = TrustPolicy()
    await cache.policy(now=NOW + TTL * 2, read=table)
    assert cache.keys_of(issuer) is not keys


def test_no_token_is_kept_in_the_clear() -> None:
    cache = TrustCache()
    cache.note_verified("a-token", ACME, NOW)
    assert b"a-token" not in repr(vars(cache._verified)).encode()
