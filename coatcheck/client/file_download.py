"""Download the bytes of results: they are counted, checked, and never all held in memory."""

from __future__ import annotations

import errno
import os
import re
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Protocol
from uuid import uuid4

from coatcheck.client.exceptions import TransferFailed
from coatcheck.client.job import StoredFile
from coatcheck.client.threaded_digest import ThreadedSha256

PARTIAL_CONTENT = 206
"""The status of an answer that begins where it was asked to (RFC 9110, 15.3.7)."""

_CONTENT_RANGE = re.compile(r"bytes (?P<start>[0-9]{1,20})-[0-9]{1,20}/(?P<whole>[0-9]{1,20}|\*)")
"""Content-Range of an answer with bytes (RFC 9110, 14.4)."""

ProgressCallback = Callable[[int, int], None]


class SupportsWrite(Protocol):
    """Anything bytes can be written to."""

    def write(self, data: bytes, /) -> object: ...


class ResultDownload:
    """A download in progress by `write`, which never gets more bytes than the job announced.

    `write` must not keep what it gets: the memory is used again. `finish` checks that it is what the job promised.
    Close it in any case.
    """

    def __init__(
        self,
        write: Callable[[bytes | memoryview], object],
        expected: StoredFile | None,
        progress: ProgressCallback | None,
    ) -> None:
        self.size: int = 0
        self._pass_on = write
        self._expected = expected
        self._progress = progress
        self._digest = ThreadedSha256()

    @property
    def remaining(self) -> int:
        """The number of bytes that the job announced and that have not arrived."""
        return self._expected.size - self.size if self._expected else 0

    def begin(self, status: int, headers: Mapping[str, str]) -> int:
        """The byte of the whole at which the body of this answer begins (header names in lower case).

        Raises TransferFailed where the job has no such result, and where the head announces another size than the job.
        """
        if self._expected is None:
            raise TransferFailed("the server sent a result that the job does not have: fetch the job again")
        if status != PARTIAL_CONTENT:
            _check_size(headers.get("content-length"), self._expected.size)
            return 0
        content_range = _CONTENT_RANGE.fullmatch(headers.get("content-range", ""))
        if not content_range or int(content_range["start"]) != self.size:
            raise TransferFailed(f"the server did not resume the download at byte {self.size}")
        _check_size(content_range["whole"], self._expected.size)
        return self.size

    def write_new(self, chunks: Iterable[bytes | memoryview], *, start: int) -> None:
        """Pass on what is new in `chunks`, which begin at byte `start` of the whole.

        Raises TransferFailed at the first byte too many.
        """
        known = self.size - start
        for chunk in chunks:
            new, known = chunk[known:], max(0, known - len(chunk))
            if new:
                self._write(new)

    def _write(self, chunk: bytes | memoryview) -> None:
        if len(chunk) > self.remaining:
            raise TransferFailed(f"the download is longer than {self.size + self.remaining} bytes, the size in the job")
        self._pass_on(chunk)
        self._digest.update(chunk)
        self.size += len(chunk)
        if self._progress and self._expected:
            self._progress(self.size, self._expected.size)

    def close(self) -> None:
        """End what was begun for it."""
        self._digest.close()

    def finish(self) -> None:
        """Raises TransferFailed when size or sha256 are not the promised ones."""
        if not self._expected or self.size != self._expected.size:
            expected_size = self._expected.size if self._expected else 0
            raise TransferFailed(f"the download has {self.size} bytes, not {expected_size} as the job says")
        if self._digest.hexdigest() != self._expected.sha256:
            raise TransferFailed("the download is damaged: its sha256 is not the one in the job")


def _check_size(declared: str | None, expected: int) -> None:
    if declared and declared != "*" and declared != str(expected):
        raise TransferFailed(f"the download has {declared} bytes, not {expected} as the job says")


@contextmanager
def atomic_write(path: Path, size: int = 0) -> Iterator[BinaryIO]:
    """A file to write that takes its name when the block ends well, and is removed when it does not.

    What is no regular file (a device, a pipe) is written directly. Raises OSError, before anything is written where
    the disk has no room for `size` bytes.
    """
    try:
        if path.exists() and not path.is_file():
            with path.open("wb") as special:
                yield special
            return
        _check_free_space(path.parent, size)
        with _temporary_file(path) as file:
            yield file
    except OSError as error:
        # the message should name the file that was asked for
        error.filename = str(path)
        raise


def _check_free_space(folder: Path, size: int) -> None:
    if shutil.disk_usage(folder).free < size:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@contextmanager
def _temporary_file(path: Path) -> Iterator[BinaryIO]:
    # a short name of its own: the file's name may already have the greatest length
    temporary = path.with_name(f".{uuid4().hex}.part")
    try:
        with temporary.open("xb") as file:
            yield file
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
