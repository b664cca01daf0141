"""What the other tests here take for granted of an emulator."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from coatcheck.deployment import Deployment
from coatcheck.table.uploads import count_upload
from worker.aws import Boto
from worker.tools import system_clock

ROOM = 20
WRITES = 60


@pytest.fixture
def restless() -> Iterator[None]:
    """Lets the threads of this process, and moto's are among them, take turns whenever they can."""
    usual = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        yield
    finally:
        sys.setswitchinterval(usual)


@pytest.mark.usefixtures("restless")
def test_nothing_comes_between_a_condition_and_its_write(aws: Boto, deployment: Deployment, tenant: str) -> None:
    """Source: each write of DynamoDB is atomic ("Best practices for handling concurrent updates in DynamoDB")."""
    count = count_upload(deployment.table, tenant, 1, now=system_clock(), most=ROOM)
    with ThreadPoolExecutor(20) as pool:
        told = list(pool.map(aws.send, [count] * WRITES))
    assert told.count(None) == ROOM
    assert set(told) == {None, ROOM}
