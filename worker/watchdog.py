"""Ends a process in which no thread gets to run any more, as when a handler hangs in C code that holds the GIL."""

from __future__ import annotations

import faulthandler
import threading
from collections.abc import Iterator
from contextlib import contextmanager

PULSES = 8
"""How often the watchdog is put off in the time that it waits."""


@contextmanager
def watchdog(silence: float) -> Iterator[None]:
    """While this lasts, `silence` seconds in which no other thread could run end the process, with status 1.

    Its heart cannot beat then and its lease runs out, while it would sit in its slot for ever. The stacks of all
    threads go to stderr, so that the owner sees where it hung. The waiting is done in C, without the GIL:
    https://docs.python.org/3/library/faulthandler.html#faulthandler.dump_traceback_later
    """
    over = threading.Event()

    def put_off() -> None:
        while not over.wait(silence / PULSES):
            faulthandler.dump_traceback_later(silence, exit=True)

    faulthandler.dump_traceback_later(silence, exit=True)
    thread = threading.Thread(target=put_off, name="watchdog", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
        faulthandler.cancel_dump_traceback_later()
