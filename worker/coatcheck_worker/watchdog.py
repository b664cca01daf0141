"""Ends a process in which no thread gets to run any more, as when a handler hangs in C code that holds the GIL."""

from __future__ import annotations

import faulthandler
import threading
from collections.abc import Iterator
from contextlib import contextmanager

RESETS_PER_TIMEOUT = 8
"""How often the watchdog is put off in the time that it waits."""


@contextmanager
def watchdog(hang_timeout: float) -> Iterator[None]:
    """While this lasts, `hang_timeout` seconds in which no other thread could run end the process, with status 1.

    Its heart cannot beat then and its lease runs out, while it would sit in its slot for ever. The stacks of all
    threads go to stderr, so that the owner sees where it hung. The waiting is done in C, without the GIL:
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
