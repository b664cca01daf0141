"""Memory does not grow with what goes through. The whole of it: `python -m bench.memory`."""

from __future__ import annotations

import pytest

from bench import null_s3
from bench.transfer_methods import measure

MIB = 1024**2


@pytest.mark.parametrize("way", ["sink", "source"])
def test_memory_is_the_same_for_four_times_the_size(way: str) -> None:
    with null_s3.running() as url:
        small, large = (measure(way, url, size * MIB) for size in (64, 256))
    assert large.peak < small.peak + 4
    assert large.peak < 200
