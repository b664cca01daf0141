"""Tells streams that the server is stopping.

uvicorn waits for open responses before it ends the lifespan, and does not tell the app: a stream would hold it up.
https://github.com/Kludex/uvicorn/issues/451
"""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import Callable
from types import FrameType

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM)


def call_on_stop(callback: Callable[[], None]) -> None:
    """Call `callback` in the running loop when the process is told to stop, besides the server's own handler.

    Does nothing outside of the main thread, which alone may handle signals, and for a signal that the server does not
    handle, which ends the process at once.
    """
    if threading.current_thread() is not threading.main_thread():
        return
    loop = asyncio.get_running_loop()
    for number in STOP_SIGNALS:
        if callable(server := signal.getsignal(number)):
            signal.signal(number, _both(server, loop, callback))


def _both(
    server: Callable[[int, FrameType | None], object], loop: asyncio.AbstractEventLoop, callback: Callable[[], None]
) -> Callable[[int, FrameType | None], None]:
    def handle(number: int, frame: FrameType | None) -> None:
        loop.call_soon_threadsafe(callback)
        server(number, frame)

    return handle
