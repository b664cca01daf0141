"""Signal handling of the processes that a supervisor starts."""

from __future__ import annotations

import os
import signal
import stat
import threading
from collections.abc import Callable


def drain_on_signals(drain: Callable[..., None]) -> None:
    """Call `drain`, a signal handler, on SIGTERM, and when the parent that holds the other end of stdin is gone."""
    signal.signal(signal.SIGTERM, drain)
    # Ctrl-C on a terminal reaches every process of the group: only the parent decides when its children end
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if stat.S_ISFIFO(os.fstat(0).st_mode):
        threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """End with the parent. It holds the other end of our stdin: when it dies, however it does, the pipe closes."""
    # not through sys.stdin: the interpreter takes its lock when it ends
    while os.read(0, 1):
        pass
    os.kill(os.getpid(), signal.SIGTERM)
