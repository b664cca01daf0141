"""The hot paths do not grow unseen: their bytecode is counted, which no other load on the machine changes."""

from __future__ import annotations

import pytest

from bench import bytecode

GROWTH = 1.05


def test_requests_take_no_more_bytecode_than_was_recorded() -> None:
    recorded = bytecode.recorded().get(bytecode.VERSION)
    if recorded is None:
        pytest.skip(f"nothing is recorded for Python {bytecode.VERSION}: python -m bench.bytecode --record")
    counted = bytecode.measure()
    most = {name: recorded[name] * GROWTH for name in bytecode.COUNTED}
    grown = {name: f"{counted[name]} of {most[name]:.0f}" for name in most if counted[name] > most[name]}
    assert grown == {}, "cut what was added, or record it: python -m bench.bytecode --record"


def test_bytecode_is_counted_in_all_that_is_called() -> None:
    def once() -> int:
        return 1

    def often() -> list[int]:
        return [once() for _ in range(100)]

    assert bytecode.count(once) < 10
    assert 100 * bytecode.count(once) < bytecode.count(often) < 100 * bytecode.count(once) + 1000
    assert bytecode.count(often) == bytecode.count(often)
