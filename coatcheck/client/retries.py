"""When a call that failed is sent again: with growing pauses, as the server asks, and never past a deadline."""

from __future__ import annotations

import random

from coatcheck.client import core
from coatcheck.client.deadline import Deadline

_FIRST, _LONGEST, _JITTER = 0.2, 5.0, 0.2


class Backoff:
    """For stamina, about one call: the pause before it is sent again, or False where it is not.

    It is not where the pause would end after `until`.
    """

    def __init__(self, until: Deadline, *, repeatable: bool) -> None:
        self._until = until
        self._repeatable = repeatable
        self._next = _FIRST

    def __call__(self, error: Exception) -> bool | float:
        advised = core.backoff(error, repeatable=self._repeatable)
        pause = self._growing() if advised is True else float(advised)
        return pause if advised is not False and pause < self._until.left else False

    def _growing(self) -> float:
        pause = self._next + random.uniform(0, _JITTER)  # noqa: S311 - it is there to spread clients, not to be secret
        self._next = min(_LONGEST, 2 * self._next)
        return pause
