"""What one client sends holds up no other: its worst bodies, and as many waits as it likes."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from bench.api_stalls import StallReport, bodies, measure_stall, served, tiny_chunks
from coatcheck.core.settings import Settings
from coatcheck_service.http.json_size import MAX_VALUES

# what counts is the service's own process; moto would share this one with the client that measures
pytestmark = pytest.mark.parametrize("emulator_url", ["ministack"], indirect=True, scope="session")

MIB = 1024**2

WORST = 500
"""Milliseconds. What holds on a machine that is not busy with other tests is in ADR 94."""

AGAINST_SMALL = 5
"""How much more it may be on a machine so busy that a small body holds up others too. It was twenty times as much."""


def holds_up(url: str, met: StallReport) -> bool:
    """Whether others were held up for longer than the machine would have had them wait anyway."""
    return met.worst >= WORST and met.worst >= AGAINST_SMALL * measure_stall(url, bodies(MIB)["small"], seconds=2).worst


@pytest.fixture(scope="module")
def url(settings: Settings, emulator_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The service in a process of its own."""
    with served(settings, emulator_url, tmp_path_factory.mktemp("stalls")) as running:
        yield running


@pytest.mark.parametrize("most", [None, MAX_VALUES], ids=["too many", "as many as may be"])
@pytest.mark.parametrize("name", ["unknown names", "names in the input", "empty lists", "deep lists", "short numbers"])
def test_a_large_body_holds_up_no_other_request(url: str, name: str, most: int | None) -> None:
    """Of bodies of 1 MB, each of these held up others for 2 to 24 seconds."""
    met = measure_stall(url, bodies(MIB, most)[name], seconds=1)
    assert met.statuses == {413 if most is None else 422}
    assert not holds_up(url, met), met


def test_a_body_in_tiny_chunks_holds_up_no_other_request(url: str) -> None:
    """uvicorn's parser in Python took them one by one, for 15 seconds; that in C is among what is installed."""
    met = measure_stall(url, b"x" * 100_000, post=tiny_chunks, seconds=1)
    assert not holds_up(url, met), met
