"""What one client sends holds up no other: its worst bodies, and as many waits as it likes."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from bench.stalls import bodies, served, stall, tiny_chunks
from coatcheck.deployment import Deployment
from service.structure import MOST

# what counts is the service's own process; moto would share this one with the client that measures
pytestmark = pytest.mark.parametrize("emulator_url", ["ministack"], indirect=True, scope="session")

MIB = 1024**2

WORST = 500
"""Milliseconds, on a machine that is busy with other tests. What holds on one that is not is in ADR 94."""


@pytest.fixture(scope="module")
def url(deployment: Deployment, emulator_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The service in a process of its own."""
    with served(deployment, emulator_url, tmp_path_factory.mktemp("stalls")) as running:
        yield running


@pytest.mark.parametrize("most", [None, MOST], ids=["too many", "as many as may be"])
@pytest.mark.parametrize("name", ["unknown names", "names in the input", "empty lists", "deep lists", "short numbers"])
def test_a_large_body_holds_up_no_other_request(url: str, name: str, most: int | None) -> None:
    """Of bodies of 1 MB, each of these held up others for 2 to 24 seconds."""
    met = stall(url, bodies(MIB, most)[name], seconds=1)
    assert met.statuses == {413 if most is None else 422}
    assert met.worst < WORST


def test_a_body_in_tiny_chunks_holds_up_no_other_request(url: str) -> None:
    """uvicorn's parser in Python took them one by one, for 15 seconds; that in C is among what is installed."""
    met = stall(url, b"x" * 100_000, post=tiny_chunks, seconds=1)
    assert met.worst < WORST
