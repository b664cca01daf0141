"""A sha256 that is made in a thread of its own, so that whoever reads need not wait for it."""

from __future__ import annotations

import hashlib
import threading
from queue import Queue

THREAD_NAME = "sha256"

THREAD_FROM = 1024**2
"""Bytes from which a thread pays."""

MAX_WAITING = 2
"""Chunks that wait for the thread, at most: memory is bounded where it is slower than what is read."""


class ThreadedSha256:
    """The sha256 of chunks. Close it, or ask for its `hexdigest`, when there are no more."""

    def __init__(self) -> None:
        self._digest = hashlib.sha256()
        self._size = 0
        self._thread: threading.Thread | None = None
        self._waiting: Queue[bytes | memoryview | None] = Queue(MAX_WAITING)

    def update(self, chunk: bytes | memoryview) -> None:
        """Take another chunk, whose bytes must not change until `MAX_WAITING + 1` others are taken.

        Waits while too many are waiting.
        """
        self._size += len(chunk)
        if self._thread is None and self._size >= THREAD_FROM:
            self._thread = threading.Thread(target=self._run, name=THREAD_NAME, daemon=True)
            self._thread.start()
        if self._thread:
            self._waiting.put(chunk)
        else:
            self._digest.update(chunk)

    def hexdigest(self) -> str:
        """The sha256 of all chunks."""
        self.close()
        return self._digest.hexdigest()

    def close(self) -> None:
        """End the thread, once it has done what it was given."""
        if self._thread and self._thread.is_alive():
            self._waiting.put(None)
            self._thread.join()

    def _run(self) -> None:
        while (chunk := self._waiting.get()) is not None:
            self._digest.update(chunk)
