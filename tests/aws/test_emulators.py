"""What the other tests here take for granted of an emulator."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from coatcheck.core.aws.dynamodb.upload_items import count_upload
from coatcheck.core.clock import system_clock
from tests.aws import emulators

ROOM = 20
WRITES = 60


@pytest.fixture(params=["ministack", "moto"])
def restless(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """An emulator's URL; moto's threads take turns whenever they can."""
    start = emulators.ministack(tmp_path) if request.param == "ministack" else emulators.moto(tmp_path, switch=1e-6)
    with start as url:
        yield url


def test_nothing_comes_between_a_condition_and_its_write(restless: str, tenant: str) -> None:
    """Source: each write of DynamoDB is atomic ("Best practices for handling concurrent updates in DynamoDB")."""
    aws, settings = emulators.connect(restless), emulators.deployment_on(restless)
    count = count_upload(settings.table, tenant, 1, now=system_clock(), most=ROOM)
    with ThreadPoolExecutor(20) as pool:
        outcomes = list(pool.map(aws.send, [count] * WRITES))
    assert outcomes.count(None) == ROOM
    assert set(outcomes) == {None, ROOM}
