"""When to send a failed call again: with growing pauses, as the server asks, and never past a deadline."""

from __future__ import annotations

import random

from coatcheck.client import operations
from coatcheck.client.deadline import Deadline

_INITIAL_DELAY, _MAX_DELAY, _JITTER = 0.2, 5.0, 0.2


class Backoff:
    """Tells stamina about one call: the pause before it is sent again, or False if it is not sent again.

    It is not sent again if the pause would end after `deadline`.
    """

    def __init__(self, deadline: Deadline, *, safe_to_retry: bool) -> None:
        self._deadline = deadline
        self._safe_to_retry = safe_to_retry
        self._next_delay = _INITIAL_DELAY

    def __call__(self, error: Exception) -> bool | float:
        advice = operations.should_retry(error, safe_to_retry=self._safe_to_retry)
        delay = self._grow() if advice is True else float(advice)
        return delay if advice is not False and delay < self._deadline.left else False

    def _grow(self) -> float:
        delay = self._next_delay + random.uniform(0, _JITTER)  # noqa: S311 - it is there to spread clients, not to be secret
        self._next_delay = min(_MAX_DELAY, 2 * self._next_delay)
        return delay
