"""Runs work on large bodies off the event loop: it delays neither other requests nor, for long, other tenants."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar
from weakref import WeakValueDictionary

T = TypeVar("T")

MAX_INLINE_BYTES = 8 * 1024
"""Bytes of the largest body that is processed on the event loop: that is faster than to wake a thread."""


class Offload:
    """One thread, with a queue per tenant before it.

    There is only one thread because the interpreter's lock goes to every thread that wants it: each further thread
    would take as much time again from the event loop. A tenant has one piece of work there at a time, however many
    requests it sends.
    """

    def __init__(self) -> None:
        self._executor = ThreadPoolExecutor(1, "offload")
        self._tenant_locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    async def run(self, tenant: str, size: int, work: Callable[[], T]) -> T:
        """Run `work` on a body of `size` bytes and return its result. Raises what it raises."""
        if size <= MAX_INLINE_BYTES:
            return work()
        lock = self._tenant_locks.setdefault(tenant, asyncio.Lock())
        async with lock:
            return await asyncio.get_running_loop().run_in_executor(self._executor, work)
