"""How many requests wait for their jobs at once: each costs a connection, and a read of its row a second."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager


class Waits:
    """The requests of this process that wait."""

    def __init__(self) -> None:
        self._held: Counter[str] = Counter()

    @contextmanager
    def one(self, tenant: str, *, most: int) -> Iterator[bool]:
        """Whether this one may wait too until the block ends: one of `most`, and of half as many of its tenant."""
        if self._held.total() >= most or self._held[tenant] >= -(-most // 2):
            yield False
            return
        self._held[tenant] += 1
        try:
            yield True
        finally:
            self._held[tenant] -= 1
            if not self._held[tenant]:
                del self._held[tenant]
