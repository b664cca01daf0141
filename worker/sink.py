"""Bytes on their way out: hashed while they pass, kept in the row when few, sent to S3 in parts when many."""

from __future__ import annotations

import hashlib
import io
from typing import Any

from coatcheck import blobs
from coatcheck.pack import pack
from coatcheck.record import Blob
from worker.aws import Aws

PART = 8 * 1024 * 1024
"""Bytes in a part. S3 takes 10,000 of them, so a result may have 80 GB; memory holds two at most."""

INLINE_LIMIT = 384
"""Packed bytes that still go into the row, which is to stay under 1 KB."""


class Sink(io.RawIOBase):
    """A file that becomes one object in S3, or a few bytes in a row. Call `finish` or `abort` when it is written."""

    def __init__(
        self, aws: Aws, bucket: str, key: str, *, content_type: str, filename: str | None, inline: bool
    ) -> None:
        super().__init__()
        self._aws, self._bucket, self._key = aws, bucket, key
        self._content_type, self._filename, self._inline = content_type, filename, inline
        self._buffer = bytearray()
        self._sha256 = hashlib.sha256()
        self._size = 0
        self._upload: str | None = None
        self._etags: list[str] = []

    def writable(self) -> bool:
        """Yes."""
        return True

    def write(self, data: Any, /) -> int:
        """Take `data` whole. Raises AwsError when S3 does not take a part."""
        with memoryview(data) as view, view.cast("B") as octets:
            self._sha256.update(octets)
            self._size += len(octets)
            self._buffer += octets
            taken = len(octets)
        while len(self._buffer) >= 2 * PART:
            self._send_part(PART)
        return taken

    def finish(self) -> Blob:
        """Everything is written: the blob is whole when this returns. Raises AwsError."""
        digest = self._sha256.digest()
        body = bytes(self._buffer) if self._upload is None else b""
        if self._upload is not None:
            self._send_part(len(self._buffer))
            self._aws.send(blobs.complete_multipart(self._bucket, self._key, self._upload, self._etags))
        elif self._inline and len(body) <= 8 * INLINE_LIMIT and len(pack(body)) <= INLINE_LIMIT:
            return Blob(self._size, digest, self._content_type, self._filename, inline=body)
        else:
            put = blobs.put(self._bucket, self._key, body, content_type=self._content_type, sha256=digest)
            self._aws.send(put)
        return Blob(self._size, digest, self._content_type, self._filename)

    def abort(self) -> None:
        """Throw away what was sent. Raises AwsError; the bucket's lifecycle rule then does it in a day."""
        if self._upload is not None:
            self._aws.send(blobs.abort_multipart(self._bucket, self._key, self._upload))

    def _send_part(self, size: int) -> None:
        if self._upload is None:
            self._upload = self._aws.send(
                blobs.start_multipart(self._bucket, self._key, content_type=self._content_type)
            )
        body = bytes(memoryview(self._buffer)[:size])
        del self._buffer[:size]
        number = len(self._etags) + 1
        self._etags.append(
            self._aws.send(blobs.put_part(self._bucket, self._key, self._upload, number=number, body=body))
        )
