"""Waits in tests for what another process or thread does."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

PATIENCE = 60.0
"""Seconds in which even a busy machine gets there."""


def eventually(condition: Callable[[], T], limit: float = PATIENCE, described: Callable[[], object] = str) -> T:
    """Return what `condition` returns once it is true; fail after `limit` seconds, and print what `described` returns."""
    deadline = time.monotonic() + limit
    while not (found := condition()):
        if time.monotonic() > deadline:
            # printed, since the summary at the end repeats the whole message of each failure
            print(described())
            raise AssertionError(f"not so after {limit:g} s")
        time.sleep(0.01)
    return found
