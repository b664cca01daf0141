"""Work on large bodies, off the event loop: it holds up neither other requests nor, for long, other tenants' bodies."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar
from weakref import WeakValueDictionary

T = TypeVar("T")

MAX_INLINE_BYTES = 8 * 1024
"""Bytes of a body that is worked on at once: it is done sooner than a thread is woken."""


class Offload:
    """One thread, and a queue of each tenant's own before it.

    One thread and no more: the interpreter's lock is handed to every thread that wants it, so that each further one
    would take as much from the event loop again. A tenant has one piece of work there at a time, however many
    requests it sends.
    """

    def __init__(self) -> None:
        self._executor = ThreadPoolExecutor(1, "offload")
        self._tenant_locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    async def run(self, tenant: str, size: int, work: Callable[[], T]) -> T:
        """What `work` on a body of `size` bytes returns. Raises what it raises."""
        if size <= MAX_INLINE_BYTES:
            return work()
        lock = self._tenant_locks.setdefault(tenant, asyncio.Lock())
        async with lock:
            return await asyncio.get_running_loop().run_in_executor(self._executor, work)
