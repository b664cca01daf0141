"""How the heartbeat of an attempt is timed: how often it renews the lease, and what calls it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from contextvars import copy_context

RENEWALS_PER_LEASE = 4
"""How often a lease is renewed in the time that it lasts."""

Tick = Callable[[], None]
Ticker = Callable[[Tick], AbstractContextManager[object]]
"""Calls a `Tick` again and again, in parallel to what runs in the context, until the context ends."""

TICK_SECONDS = 0.5
"""Seconds between two ticks."""


@contextmanager
def tick_in_thread(tick: Tick) -> Iterator[None]:
    """Call `tick` every `TICK_SECONDS` in its own thread."""
    closed = threading.Event()

    def tick_until_closed() -> None:
        while not closed.wait(TICK_SECONDS):
            tick()

    # in a copy of this context, so that its log lines name the same job
    thread = threading.Thread(target=copy_context().run, args=(tick_until_closed,), name="heartbeat", daemon=True)
    thread.start()
    try:
        yield
    finally:
        closed.set()
        thread.join()
