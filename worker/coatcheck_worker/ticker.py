"""How the heartbeat of an attempt is timed: how often it renews the lease, and what calls it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from contextvars import copy_context

from coatcheck_worker.watchdog import watchdog

RENEWALS_PER_LEASE = 4
"""How often a lease is renewed in the time that it lasts."""

Tick = Callable[[], bool]
Ticker = Callable[[Tick, float], AbstractContextManager[object]]
"""Calls a `Tick` again and again, beside what runs in the context, until it answers False or the context ends.

Ends the process when it cannot call it for so many seconds.
"""

TICK_SECONDS = 0.5
"""Seconds between two ticks."""


@contextmanager
def tick_in_thread(tick: Tick, hang_timeout: float) -> Iterator[None]:
    """Call `tick` every `TICK_SECONDS` in a thread of its own, until it answers False. A watchdog guards the thread."""
    closed = threading.Event()

    def tick_until_closed() -> None:
        while not closed.wait(TICK_SECONDS) and tick():
            pass

    # in this context, so that what it logs is about the same job
    thread = threading.Thread(target=copy_context().run, args=(tick_until_closed,), name="heart", daemon=True)
    thread.start()
    try:
        with watchdog(hang_timeout):
            yield
    finally:
        closed.set()
        thread.join()
