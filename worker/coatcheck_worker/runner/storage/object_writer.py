"""Writes bytes: hashes them, keeps a few in the row, and sends more to S3 in parts."""

from __future__ import annotations

import hashlib
import io
from typing import Any

from coatcheck.authoring.retry import Reject
from coatcheck.aws_transport.protocols import Transport
from coatcheck.core.aws import s3
from coatcheck.core.job import Blob
from coatcheck.core.pack import pack
from coatcheck_worker.runner.storage.part_uploader import MAX_PARTS, MAX_SIZE, PartUploader, part_size

_MAX_COMPRESSION_RATIO = 8
"""Data larger than this many times the row's inline limit is not compressed to see whether it fits."""


class ObjectWriter(io.RawIOBase):
    """A file that becomes one object in S3, or a few bytes in a row. Call `finish` or `abort` when it is written.

    At most `inline` bytes, when packed, go into the row. What fits into one part goes in one request, without a thread.
    """

    def __init__(
        self, transport: Transport, bucket: str, key: str, *, content_type: str, filename: str | None, inline: int = 0
    ) -> None:
        super().__init__()
        self._transport, self._bucket, self._key = transport, bucket, key
        self._content_type, self._filename, self._inline = content_type, filename, inline
        self._sha256 = hashlib.sha256()
        self._size = 0
        self._buffer = bytearray()
        self._filled = 0
        self._capacity = part_size(1)
        self._parts: PartUploader | None = None

    def writable(self) -> bool:
        """Yes."""
        return True

    def write(self, data: Any, /) -> int:
        """Take all of `data`.

        Raises AwsError when S3 did not accept an earlier part, and Reject beyond MAX_SIZE.
        """
        with memoryview(data) as view, view.cast("B") as octets:
            taken = 0
            while taken < len(octets):
                if self._filled == self._capacity:
                    self._send_part()
                taken += self._take(octets[taken : taken + self._capacity - self._filled])
            return taken

    def finish(self) -> Blob:
        """Store the rest: the blob is complete when this returns. Raises AwsError."""
        if self._parts is not None:
            self._send_part()
            self._parts.complete()
            return self._blob()
        self._hash()
        body = self._buffer
        if len(body) <= _MAX_COMPRESSION_RATIO * self._inline and len(pack(bytes(body))) <= self._inline:
            return self._blob(inline=bytes(body))
        sha256 = self._sha256.digest()
        self._transport.send(s3.put(self._bucket, self._key, body, content_type=self._content_type, sha256=sha256))
        return self._blob()

    def abort(self) -> None:
        """Discard what was sent. Raises AwsError; the bucket's lifecycle rule then does it in a day."""
        if self._parts is not None:
            self._parts.abort()

    def _blob(self, inline: bytes | None = None) -> Blob:
        return Blob(self._size, self._sha256.digest(), self._content_type, self._filename, inline=inline)

    def _take(self, octets: memoryview) -> int:
        end = self._filled + len(octets)
        if end > len(self._buffer):
            # the first part may stay small
            self._buffer += octets
        else:
            with memoryview(self._buffer) as view:
                view[self._filled : end] = octets
        self._filled = end
        return len(octets)

    def _hash(self) -> None:
        """Hash the buffer: one large update lets other threads run, many small ones do not."""
        del self._buffer[self._filled :]
        self._sha256.update(self._buffer)
        self._size += self._filled

    def _send_part(self) -> None:
        if self._parts is None:
            self._parts = PartUploader(self._transport, self._bucket, self._key, content_type=self._content_type)
        if self._parts.next_number > MAX_PARTS:
            raise Reject(f"a result or an artifact may have {MAX_SIZE:,} bytes, and this one has more")
        self._hash()
        free_buffer = self._parts.add(self._buffer)
        self._filled = 0
        self._capacity = part_size(self._parts.next_number)
        # memory that the process already has is reused: it is as quick, and does not come in odd pieces
        self._buffer = free_buffer if free_buffer and len(free_buffer) == self._capacity else bytearray(self._capacity)
