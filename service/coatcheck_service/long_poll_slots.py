"""Limits how many requests wait for jobs at the same time: each costs a connection and one row read per second."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager


class LongPollSlots:
    """Counts the waiting requests of this process."""

    def __init__(self) -> None:
        self._taken: Counter[str] = Counter()

    @contextmanager
    def acquire(self, tenant: str, *, limit: int) -> Iterator[bool]:
        """Yield whether this request may wait until the block ends.

        At most `limit` requests wait, and at most half of that, rounded up, for one tenant.
        """
        if self._taken.total() >= limit or self._taken[tenant] >= -(-limit // 2):
            yield False
            return
        self._taken[tenant] += 1
        try:
            yield True
        finally:
            self._taken[tenant] -= 1
            if not self._taken[tenant]:
                del self._taken[tenant]
