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
"""Calls a `Tick` again and again, in parallel to what runs in the context, until it returns False or the context ends.

The second argument is a limit in seconds: if no tick could run for so long, the process is ended.
"""

TICK_SECONDS = 0.5
"""Seconds between two ticks."""


@contextmanager
def tick_in_thread(tick: Tick, hang_timeout: float) -> Iterator[None]:
    """Call `tick` every `TICK_SECONDS` in its own thread, until it returns False. A watchdog guards the thread."""
    closed = threading.Event()

    def tick_until_closed() -> None:
        while not closed.wait(TICK_SECONDS) and tick():
            pass

    # in a copy of this context, so that its log lines name the same job
    thread = threading.Thread(target=copy_context().run, args=(tick_until_closed,), name="heartbeat", daemon=True)
    thread.start()
    try:
        with watchdog(hang_timeout):
            yield
    finally:
        closed.set()
        thread.join()
