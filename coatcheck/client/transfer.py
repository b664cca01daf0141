"""The bytes of results on their way: counted, checked, and never held whole."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Protocol
from uuid import uuid4

from coatcheck.client.answers import Stored
from coatcheck.client.errors import TransferFailed

CHUNK = 1 << 18
PARTIAL = 206
"""The status of an answer that begins where it was asked to (RFC 9110, 15.3.7)."""

Progress = Callable[[int, int], None]


class Sink(Protocol):
    """Anything bytes can be written to."""

    def write(self, data: bytes, /) -> object: ...


class Incoming:
    """A download on its way into `sink`; `finish` says whether it is what the job promised."""

    def __init__(self, sink: Sink, expected: Stored | None, progress: Progress | None) -> None:
        self.size = 0
        self._sink = sink
        self._expected = expected
        self._progress = progress
        self._digest = hashlib.sha256()

    def take(self, chunks: Iterable[bytes], *, start: int) -> None:
        """Pass on what is new in `chunks`, which begin at byte `start` of the whole."""
        known = self.size - start
        for chunk in chunks:
            new, known = chunk[known:], max(0, known - len(chunk))
            if new:
                self._write(new)

    def _write(self, chunk: bytes) -> None:
        self._sink.write(chunk)
        self._digest.update(chunk)
        self.size += len(chunk)
        if self._progress and self._expected:
            self._progress(self.size, self._expected.size)

    def finish(self) -> None:
        """Raises TransferFailed when size or sha256 are not the promised ones."""
        if self._expected is None:
            raise TransferFailed("the server sent a result that the job does not have: look at the job again")
        if self.size != self._expected.size:
            raise TransferFailed(f"the download has {self.size} bytes where the job says {self._expected.size}")
        if self._digest.hexdigest() != self._expected.sha256:
            raise TransferFailed("the download is damaged: its sha256 is not the one that the job says")


@contextmanager
def appearing(path: Path) -> Iterator[BinaryIO]:
    """A file to write that takes its name when the block ends well, and is removed when it does not.

    What is no regular file (a device, a pipe) is written directly. Raises OSError.
    """
    if path.exists() and not path.is_file():
        with path.open("wb") as special:
            yield special
        return
    part = path.with_name(f".{path.name}.{uuid4().hex[:8]}.part")
    try:
        with part.open("xb") as file:
            yield file
        part.replace(path)
    except OSError as error:
        # the name that was asked for is the one to complain of
        error.filename = str(path)
        raise
    finally:
        part.unlink(missing_ok=True)
