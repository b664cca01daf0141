"""Ends a process in which no thread can run any more, as when a handler hangs in C code that holds the GIL."""

from __future__ import annotations

import faulthandler
import threading
from collections.abc import Iterator
from contextlib import contextmanager

RESETS_PER_TIMEOUT = 8
"""How often the watchdog is reset within its timeout."""


@contextmanager
def watchdog(hang_timeout: float) -> Iterator[None]:
    """Within this context, the process ends with status 1 if no other thread could run for `hang_timeout` seconds.

    Such a process cannot renew its lease, and would occupy its slot for ever. The stacks of all threads go to stderr,
    so that the owner sees where it hung. The timer runs in C, without the GIL:
    https://docs.python.org/3/library/faulthandler.html#faulthandler.dump_traceback_later
    """
    stopped = threading.Event()

    def reset_timer() -> None:
        while not stopped.wait(hang_timeout / RESETS_PER_TIMEOUT):
            faulthandler.dump_traceback_later(hang_timeout, exit=True)

    faulthandler.dump_traceback_later(hang_timeout, exit=True)
    thread = threading.Thread(target=reset_timer, name="watchdog", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stopped.set()
        thread.join()
        faulthandler.cancel_dump_traceback_later()
