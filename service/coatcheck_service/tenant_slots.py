"""Limits how many requests of this process stay open at the same time, in all and for one tenant."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager


class TenantSlots:
    """Counts the open requests of one kind: those that wait for a job, or those that follow events."""

    def __init__(self) -> None:
        self._taken: Counter[str] = Counter()

    @contextmanager
    def acquire(self, tenant: str, *, limit: int) -> Iterator[bool]:
        """Yield whether this request may stay open until the block ends.

        At most `limit` requests may, and at most half of that, rounded up, for one tenant.
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
