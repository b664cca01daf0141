"""How many requests wait for their jobs at once: each costs a connection, and a read of its row a second."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager


class LongPollSlots:
    """The requests of this process that wait."""

    def __init__(self) -> None:
        self._taken: Counter[str] = Counter()

    @contextmanager
    def acquire(self, tenant: str, *, limit: int) -> Iterator[bool]:
        """Whether this one may wait too until the block ends: one of `limit`, and of half as many of its tenant."""
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
