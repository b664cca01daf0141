"""An object in S3 as a readable file: one request to read forward, range requests to read from anywhere."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import io
from typing import Any

from coatcheck.authoring.retry import Reject
from coatcheck.aws_transport.protocols import Transport
from coatcheck.core.aws import s3
from coatcheck.core.aws.call import AwsUnavailable, Call
from coatcheck_worker.boto_transport import STREAM_ERRORS

READ_AHEAD = 256 * 1024
"""Bytes in the first range request after a seek. Reading on from there uses growing ranges."""

MAX_SKIP = 1024 * 1024
"""A seek forward of at most so many bytes reads them instead: that is faster than another request."""

READ_AHEAD_GROWTH = 4
MAX_RESUMES = 4
"""How often in a row a connection may break before a byte arrives."""


class ObjectReader(io.RawIOBase):
    """An object, the same from the first byte read to the last. Wrap it in a BufferedReader.

    Errors call it `name`. Raises FileNotFoundError when there is no object; later also when it was removed or replaced
    since, and AwsUnavailable when S3 cannot be read from. A broken connection is made again.

    Reading from the first byte to the last, in order, raises Reject at the end if the bytes are not what the client
    declared.
    """

    def __init__(self, transport: Transport, bucket: str, key: str, *, name: str) -> None:
        super().__init__()
        self._transport, self._bucket, self._key, self._name = transport, bucket, key, name
        opened = transport.send(s3.open_object(bucket, key))
        if opened is None:
            raise FileNotFoundError(f"{name} is no longer kept")
        self._size, self._etag = opened.size, opened.etag
        self._declared = opened.declared
        self._sha256, self._hashed = hashlib.sha256(), 0
        self._position = 0
        # the stream holds the bytes from _at to _end
        self._stream: Any = opened.stream
        self._at, self._end, self._span = 0, opened.size, opened.size

    def readable(self) -> bool:
        """Yes."""
        return True

    def seekable(self) -> bool:
        """Yes."""
        return True

    def tell(self) -> int:
        """The position of the next byte."""
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        """Set the position; sends no request yet. Raises OSError for a position before the start, as a file does."""
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._size}[whence]
        if start + offset < 0:
            raise OSError(errno.EINVAL, f"cannot seek to {start + offset}", self._name)
        self._position = start + offset
        return self._position

    def readinto(self, buffer: Any, /) -> int:
        """Read some bytes; 0 at the end. Raises FileNotFoundError, AwsUnavailable and Reject."""
        with memoryview(buffer) as view, view.cast("B") as octets:
            wanted = min(len(octets), self._size - self._position)
            if wanted <= 0:
                return 0
            got = self._read(octets[:wanted])
            if self._declared and self._position == self._hashed:
                self._check(octets[:got], self._declared)
            self._position += got
            return got

    def close(self) -> None:
        """Close the connection."""
        self._close_stream()
        super().close()

    def _check(self, octets: memoryview, declared: str) -> None:
        self._sha256.update(octets)
        self._hashed += len(octets)
        if self._hashed == self._size and (found := self._sha256.hexdigest()) != declared:
            raise Reject(f"{self._name} is not what was announced: its sha256 is {found}, not {declared}")

    def _read(self, into: memoryview) -> int:
        broken: BaseException | None = None
        for _ in range(MAX_RESUMES + 1):
            try:
                self._position_stream(self._position, len(into))
                return self._read_forward(into)
            except FileNotFoundError:
                raise
            except STREAM_ERRORS as error:
                broken = error
                self._close_stream()
        raise AwsUnavailable(self._range(self._position, self._size), type(broken).__name__) from broken

    def _position_stream(self, position: int, wanted: int) -> None:
        """Open or advance the stream so that its next byte is the one at `position`."""
        ahead = position - self._at
        if self._stream is None or position >= self._end or not 0 <= ahead <= MAX_SKIP:
            self._span = self._span * READ_AHEAD_GROWTH if ahead == 0 else READ_AHEAD
            self._open(position, min(position + max(self._span, wanted), self._size))
        elif ahead:
            with memoryview(bytearray(ahead)) as skipped:
                while self._at < position:
                    self._read_forward(skipped[: position - self._at])

    def _read_forward(self, into: memoryview) -> int:
        got = int(self._stream.readinto(into[: self._end - self._at]))
        if not got:
            raise ConnectionError("the stream ended early")
        self._at += got
        return got

    def _open(self, first: int, end: int) -> None:
        self._close_stream()
        stream = self._transport.send(self._range(first, end))
        if stream is None:
            raise FileNotFoundError(f"{self._name} was removed or replaced while it was read")
        self._stream, self._at, self._end = stream, first, end

    def _range(self, first: int, end: int) -> Call[Any]:
        return s3.read_range(self._bucket, self._key, self._etag, first=first, last=end - 1)

    def _close_stream(self) -> None:
        stream, self._stream = self._stream, None
        if stream is not None:
            with contextlib.suppress(*STREAM_ERRORS):
                stream.close()
