"""Caches the API keys that clients present, so that a request rarely costs a read of the table.

How long an entry lives bounds how long a revoked key still works. How many there may be bounds the memory and, for the
ids of no key, the reads: whoever tries one id after the other soon has no more looked up.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace

from coatcheck.core.api_keys import ApiKey
from coatcheck.core.clock import SECOND
from coatcheck.core.errors import Unavailable
from coatcheck.core.expiring_map import ExpiringMap

TTL = 30 * SECOND
"""Milliseconds until a process notices what has changed of a key."""

UNKNOWN_TTL = 5 * SECOND
"""Milliseconds for which an id of no key is not looked up again."""

MAX_KEYS = 10_000
MAX_UNKNOWN = 500
"""Ids of no key that are looked up in `UNKNOWN_TTL`, at most."""


class ApiKeyCache:
    """The keys that were looked up last, and the ids that were of none."""

    def __init__(self) -> None:
        self._keys: ExpiringMap[str, ApiKey] = ExpiringMap(TTL, MAX_KEYS)
        self._unknown: ExpiringMap[str, bool] = ExpiringMap(UNKNOWN_TTL, MAX_UNKNOWN)
        self._reads: dict[str, asyncio.Task[ApiKey | None]] = {}
        self._imported: ExpiringMap[None, frozenset[str]] = ExpiringMap(TTL, 1)

    async def get(self, key_id: str, *, now: int, read: Callable[[], Awaitable[ApiKey | None]]) -> ApiKey | None:
        """Return what `read` returns, or returned a while ago. Those who ask for one key at once share one read.

        Raises Unavailable, without a read, for an id that was never seen while too many others are tried.
        """
        if key := self._keys.fresh(key_id, now):
            return key
        if self._unknown.fresh(key_id, now):
            return None
        if key_id not in self._keys and (self._unknown.is_full(now) or len(self._reads) >= MAX_UNKNOWN):
            raise Unavailable("Too many unknown API keys are tried now: try again.", retry_after=UNKNOWN_TTL // SECOND)
        if key_id not in self._reads:
            self._reads[key_id] = asyncio.create_task(self._look_up(key_id, now, read))
        # whoever asked first may go away, and the others still want it
        return await asyncio.shield(self._reads[key_id])

    def note_use(self, key_id: str, *, now: int) -> bool:
        """Whether a use of a key that was just returned is worth a write; then the uses of the next hour are not."""
        key = self._keys.fresh(key_id, now)
        if key is None or not key.use_is_news(now):
            return False
        self._keys.amend(key_id, replace(key, last_used_at=now))
        return True

    async def _look_up(self, key_id: str, now: int, read: Callable[[], Awaitable[ApiKey | None]]) -> ApiKey | None:
        try:
            found = await read()
        finally:
            del self._reads[key_id]
        if found is None:
            self._keys.discard(key_id)
            self._unknown.store(key_id, True, now)
        else:
            self._unknown.discard(key_id)
            self._keys.store(key_id, found, now)
        return found

    async def imported(self, *, now: int, read: Callable[[], Awaitable[frozenset[str]]]) -> frozenset[str]:
        """Return the ids of keys of another form, as `read` returns them, or returned them a while ago."""
        found = self._imported.fresh(None, now)
        if found is None:
            found = await read()
            self._imported.store(None, found, now)
        return found
