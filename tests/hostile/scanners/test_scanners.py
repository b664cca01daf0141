"""The scanners find nothing but what is known: a short form of `make scan`, without what needs the network."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.hostile.scanners.excuses import Excuse
from tests.hostile.scanners.scan import SCANNERS, Finding, Scanner
from tests.hostile.tools import TOOLS


@pytest.mark.parametrize("name", SCANNERS)
def test_a_scanner_finds_what_is_known_and_nothing_else(tmp_path: Path, name: str) -> None:
    assert SCANNERS[name].wrong(tmp_path) == []


def test_what_has_no_excuse_is_wrong_and_so_is_an_excuse_of_nothing(tmp_path: Path) -> None:
    found = [Finding("A", "here", "bad"), Finding("B", "there", "known"), Finding("B", "elsewhere", "not meant")]
    scanner = Scanner(lambda _: iter(found), {"B": Excuse("known", ("the*",)), "C": Excuse("gone")})
    assert scanner.wrong(tmp_path) == [
        "A here: bad",
        "B elsewhere: not meant",
        "C: has an excuse, and is not found any more",
    ]


@pytest.mark.parametrize("name", TOOLS)
def test_the_lock_of_a_tool_has_hashes_and_no_addresses(name: str) -> None:
    text = TOOLS[name].lock.read_text()
    pins = [line for line in text.splitlines() if "==" in line]
    assert any(line.startswith(f"{name}==") for line in pins)
    assert all(line.endswith("\\") for line in pins)
    assert "://" not in text
