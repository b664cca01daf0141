"""What handlers write to standard output and standard error: into the log, bounded, and the last lines kept."""

from __future__ import annotations

import contextlib
import logging
import os
import selectors
import threading
from collections import deque
from contextvars import Context, copy_context

from coatcheck.core.sanitize import plain_text

log = logging.getLogger("job.output")

MAX_LOGGED = 256 * 1024
"""Bytes of output of one attempt that go into the log; more is read and dropped."""

MAX_LINE = 4096
LAST_LINES = 20
"""Lines that are kept for the report of a runner's death."""

_CHUNK, _CHUNKS = 64 * 1024, 16


class RunnerOutput:
    """The read end of a runner's standard output and error. Several threads may use it."""

    def __init__(self, descriptor: int) -> None:
        os.set_blocking(descriptor, False)
        self.descriptor = descriptor
        self._lock = threading.Lock()
        self._closed = False
        self._partial = b""
        self._logged = self._dropped = 0
        self._context: Context | None = None
        self._last: deque[str] = deque(maxlen=LAST_LINES)

    def begin(self) -> None:
        """From now on the output is that of the attempt in whose log context this is called."""
        self.read()
        with self._lock:
            self._context = copy_context()
            self._logged = self._dropped = 0
            self._last.clear()

    def end(self) -> tuple[str, ...]:
        """Take what the attempt wrote up to now. Returns its last lines."""
        self.read()
        with self._lock:
            self._take_line(self._partial)
            self._partial = b""
            if self._dropped and self._context is not None:
                self._context.run(log.warning, "%d more bytes of output are not logged", self._dropped)
            self._context = None
            return tuple(self._last)

    def read(self) -> bool:
        """Read what there is now, and at most a megabyte. Returns False once there will be no more."""
        with self._lock:
            for _ in range(_CHUNKS):
                if self._closed:
                    return False
                try:
                    chunk = os.read(self.descriptor, _CHUNK)
                except BlockingIOError:
                    return True
                except OSError:
                    return False
                if not chunk:
                    return False
                self._take(chunk)
            return True

    def close(self) -> None:
        """Close the descriptor."""
        with self._lock:
            if not self._closed:
                self._closed = True
                os.close(self.descriptor)

    def _take(self, chunk: bytes) -> None:
        *lines, rest = (self._partial + chunk).split(b"\n")
        for line in lines:
            self._take_line(line)
        if len(rest) > MAX_LINE:
            self._take_line(rest)
            rest = b""
        self._partial = rest

    def _take_line(self, line: bytes) -> None:
        if not line:
            return
        if self._logged >= MAX_LOGGED:
            self._dropped += len(line)
            return
        text = plain_text(line[:MAX_LINE].decode(errors="replace"), longest=MAX_LINE)
        self._last.append(text)
        self._logged += len(line)
        if self._context is not None:
            self._context.run(log.info, "%s", text)


class OutputReader:
    """Reads the output of all runners, in a thread of its own, so that no handler waits for its output to be read."""

    def __init__(self) -> None:
        self._selector = selectors.DefaultSelector()
        threading.Thread(target=self._read_all, name="output", daemon=True).start()

    def add(self, output: RunnerOutput) -> None:
        """Read `output` from now on."""
        self._selector.register(output.descriptor, selectors.EVENT_READ, output)

    def remove(self, output: RunnerOutput) -> None:
        """Read `output` no longer, and close it."""
        with contextlib.suppress(KeyError, ValueError):
            self._selector.unregister(output.descriptor)
        output.close()

    def _read_all(self) -> None:
        while True:
            try:
                for key, _ in self._selector.select(timeout=1):
                    if not key.data.read():
                        self._selector.unregister(key.fileobj)
            except Exception:
                with contextlib.suppress(Exception):
                    log.exception("reading the output of handlers failed; going on")
