"""A map that forgets: for what is cached for a time, and in a bounded number."""

from __future__ import annotations

from typing import Generic, TypeVar

K = TypeVar("K")
V = TypeVar("V")


class ExpiringMap(Generic[K, V]):
    """Up to `size` values, each with the time at which it was stored. The oldest goes first."""

    def __init__(self, ttl: int, size: int) -> None:
        self._ttl = ttl
        self._size = size
        self._entries: dict[K, tuple[int, V]] = {}

    def fresh(self, key: K, now: int) -> V | None:
        """Return the value if it was stored less than `ttl` ago."""
        at, value = self._entries.get(key, (now - self._ttl, None))
        return value if 0 <= now - at < self._ttl else None

    def store(self, key: K, value: V, now: int) -> None:
        """Store a value, as the newest."""
        self._entries.pop(key, None)
        self._entries[key] = now, value
        if len(self._entries) > self._size:
            del self._entries[next(iter(self._entries))]

    def amend(self, key: K, value: V) -> None:
        """Change a value that is there. It does not become fresher by that."""
        at, _ = self._entries[key]
        self._entries[key] = at, value

    def discard(self, key: K) -> None:
        """Remove a value, if it is there."""
        self._entries.pop(key, None)

    def is_full(self, now: int) -> bool:
        """Whether it could store one more only in place of one that is still fresh."""
        if len(self._entries) < self._size:
            return False
        oldest, _ = next(iter(self._entries.values()))
        return 0 <= now - oldest < self._ttl

    def __contains__(self, key: K) -> bool:
        return key in self._entries
