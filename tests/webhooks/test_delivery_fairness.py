"""A dead receiver and a slow one hold up no other: the short form of `python -m bench.webhooks`."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.webhooks import compare

EVENTS = 300


@pytest.mark.timeout(400)
def test_a_good_receiver_waits_no_longer_than_twice_as_long_beside_bad_ones(tmp_path: Path) -> None:
    alone, beside = compare(tmp_path, events=EVENTS, rate=3.0, threads=16)
    assert (alone.lost, beside.lost) == (0, 0)
    assert beside.p99 <= 2 * alone.p99
