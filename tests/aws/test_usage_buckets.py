"""Token buckets in the table, on both emulators: what they let through, whatever a process assumes of them."""

from __future__ import annotations

import random
from collections import Counter

import pytest

from coatcheck.aws_transport.protocols import Transport
from coatcheck.core.aws.dynamodb.usage_items import Demand, usage_key
from coatcheck.core.aws.flow import run
from coatcheck.core.clock import SECOND
from coatcheck.core.flows.charge import BucketEmpty, charge
from coatcheck.core.settings import Settings
from coatcheck.core.token_bucket import BucketLevel, TokenBucket
from coatcheck_infra.local.resources import client
from coatcheck_service.limits_cache import BucketMemory
from tests.transports import FaultyTransport

NOW = 1_800_000_000_000
BUCKET = TokenBucket(rate=2, size=4)


class Process:
    """Takes tokens and remembers what it saw, as a process of the API does."""

    def __init__(self, aws: Transport, settings: Settings, tenant: str, bucket: TokenBucket = BUCKET) -> None:
        self.aws = FaultyTransport(aws)
        self._table, self._tenant, self._bucket = settings.table, tenant, bucket
        self._memory = BucketMemory()

    def take(self, now: int) -> BucketLevel | None:
        """The level after a token was taken, or None."""
        full = self._memory.is_full(self._tenant, self._bucket.spare, now)
        demand = Demand((), "submits", self._bucket)
        try:
            level = run(self.aws, charge(self._table, self._tenant, demand, now=now, full=full)).level
        except BucketEmpty:
            return None
        assert level
        self._memory.note(self._tenant, level, assumed_full=full)
        return level


@pytest.fixture
def process(aws: Transport, settings: Settings, tenant: str) -> Process:
    return Process(aws, settings, tenant)


def test_a_full_bucket_gives_its_size_and_then_its_rate(process: Process) -> None:
    levels = [process.take(NOW) for _ in range(5)]
    assert [level and level.remaining for level in levels] == [3, 2, 1, 0, None]
    assert [level.seconds_until_full for level in levels if level] == [1, 1, 2, 2]
    assert [bool(process.take(NOW + at)) for at in (499, 500, 501, 999, 1000)] == [False, True, False, False, True]


def test_alone_a_process_needs_one_write_for_each_token(process: Process) -> None:
    at, gaps = NOW, [0, 10, 400, 700, 0, 9000, 0, 3000, 1, 1200, 60_000, 5]
    for gap in gaps:
        at += gap
        assert process.take(at)
    assert process.aws.operations == ["UpdateItem"] * len(gaps)


def test_processes_that_share_a_bucket_soon_know_it(aws: Transport, settings: Settings, tenant: str) -> None:
    bucket = TokenBucket(rate=10, size=20)
    processes = [Process(aws, settings, tenant, bucket) for _ in range(4)]
    for turn in range(40):
        assert processes[turn % 4].take(NOW + turn * 150)
    writes = sum(len(process.aws.operations) for process in processes)
    assert writes <= 40 + 2 * len(processes)


@pytest.mark.parametrize("seed", range(2))
def test_in_no_time_does_it_give_more_than_it_may(aws: Transport, settings: Settings, tenant: str, seed: int) -> None:
    rng = random.Random(seed)
    processes = [Process(aws, settings, tenant) for _ in range(3)]
    at, taken = NOW, []
    for _ in range(50):
        at += rng.choice([0, 0, 100, 300, 700, 3000])
        if rng.choice(processes).take(at):
            taken.append(at)
    for first, since in enumerate(taken):
        for last in range(first, len(taken)):
            allowed = BUCKET.rate * (taken[last] - since) / SECOND + BUCKET.size * 1.25
            assert last - first + 1 <= allowed + 1e-9
    # and what it may give it gives
    assert len(taken) >= 20


def test_a_write_that_was_lost_costs_a_token_at_most(process: Process) -> None:
    assert process.take(NOW)
    assert Counter(bool(process.take(NOW)) for _ in range(5)) == {True: 3, False: 2}


def test_a_rate_that_is_lowered_holds_at_once(aws: Transport, settings: Settings, tenant: str) -> None:
    before, after = (Process(aws, settings, tenant, TokenBucket(rate, size=10)) for rate in (100, 0.1))
    assert all(before.take(NOW) for _ in range(10))
    assert [bool(after.take(NOW + 100)) for _ in range(11)] == [True] * 10 + [False]


def test_the_item_goes_when_nobody_needs_it(
    process: Process, settings: Settings, tenant: str, emulator_url: str
) -> None:
    process.take(NOW)
    found = client("dynamodb", emulator_url).get_item(TableName=settings.table, Key=usage_key(tenant))["Item"]
    assert int(found["ttl"]["N"]) > NOW // SECOND + 86_400
