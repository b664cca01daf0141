"""The short form of `make large`."""

from __future__ import annotations

from pathlib import Path

from tests.kill.ground import ground
from tests.large.large import go_through
from tests.large.run import flaws

MIB = 1024**2


def test_what_is_large_goes_through_whole_and_takes_no_more_memory(tmp_path: Path) -> None:
    with ground(tmp_path, lease=60) as stores:
        passed = list(go_through(stores, (64 * MIB, 256 * MIB)))
    assert [one.what for one in passed] == ["result", "result", "upload", "upload"]
    assert list(flaws(passed)) == []
