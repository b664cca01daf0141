"""Waits in tests for what another process or thread does."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

PATIENCE = 60.0
"""Seconds in which even a busy machine gets there."""

LONGEST_DESCRIPTION = 4000
"""Characters, the last ones: the summary of a run repeats the whole message of each failure."""


def eventually(condition: Callable[[], T], limit: float = PATIENCE, described: Callable[[], object] = str) -> T:
    """Return what `condition` returns once it is true; fail after `limit` seconds with what `described` returns."""
    deadline = time.monotonic() + limit
    while not (found := condition()):
        if time.monotonic() > deadline:
            found_instead = str(described())[-LONGEST_DESCRIPTION:]
            raise AssertionError(f"not so after {limit:g} s: {found_instead}")
        time.sleep(0.01)
    return found
