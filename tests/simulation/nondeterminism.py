"""What AWS may do and its emulators do not: answer late, in part, or twice."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


def _never() -> bool:
    return False


def _at_once() -> int:
    return 0


@dataclass(frozen=True, slots=True)
class Nondeterminism:
    """Asked each time anew. Without arguments AWS does all that is asked for, at once.

    `lag`: milliseconds until an index shows a write. `age`: how many milliseconds old what an eventually consistent
    read gives may be. `leaves_out`: whether an entry of a batch is not carried out, and the answer says so.
    `doubled`: whether a message that is received is received once more.
    """

    lag: Callable[[], int] = _at_once
    age: Callable[[], int] = _at_once
    leaves_out: Callable[[], bool] = _never
    doubled: Callable[[], bool] = _never
