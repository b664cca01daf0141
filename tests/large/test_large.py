"""The short form of `make large`."""

from __future__ import annotations

from pathlib import Path

from tests.kill.emulator import emulator
from tests.large.run import violations
from tests.large.transfers import run_transfers

MIB = 1024**2


def test_what_is_large_goes_through_whole_and_takes_no_more_memory(tmp_path: Path) -> None:
    with emulator(tmp_path, lease=60) as stores:
        passed = list(run_transfers(stores, (64 * MIB, 256 * MIB)))
    assert [one.what for one in passed] == ["result", "result", "upload", "upload"]
    assert list(violations(passed)) == []
