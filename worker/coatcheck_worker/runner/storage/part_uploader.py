"""A multipart upload that sends parts while the next part is being filled."""

from __future__ import annotations

from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor

from isal.isal_zlib import crc32

from coatcheck.aws_transport.protocols import Transport
from coatcheck.core.aws import s3

PART_SIZE = 8 * 1024 * 1024
"""Bytes in each of the first thousand parts; the parts of each further thousand are larger by the same amount."""

MAX_PARTS = 10_000
"""The limit of S3. https://docs.aws.amazon.com/AmazonS3/latest/userguide/qfacts.html"""

UPLOAD_THREADS = 2
MAX_IN_FLIGHT = 3
"""Parts that are being sent or wait to be sent. With the one being filled, memory holds four."""


def part_size(number: int) -> int:
    """Bytes in part `number`, counted from 1. Four are in memory: 32 MiB for 8 GiB of object, 320 MiB at the end."""
    return PART_SIZE * (1 + (number - 1) // 1000)


MAX_SIZE = sum(part_size(number) for number in range(1, MAX_PARTS + 1))
"""Bytes in the largest object: 461 GB."""


class PartUploader:
    """A multipart upload. Call `complete` or `abort` at its end. Raises AwsError when it cannot be started."""

    def __init__(self, transport: Transport, bucket: str, key: str, *, content_type: str) -> None:
        self._transport, self._bucket, self._key = transport, bucket, key
        self._upload = transport.send(s3.start_multipart(bucket, key, content_type=content_type))
        self._pool = ThreadPoolExecutor(UPLOAD_THREADS, thread_name_prefix="part")
        self._in_flight: deque[tuple[Future[s3.CompletedPart], bytearray]] = deque()
        self._sent: list[s3.CompletedPart] = []
        self._free_buffers: deque[bytearray] = deque()

    @property
    def next_number(self) -> int:
        """The number of the part that `add` will send."""
        return len(self._sent) + len(self._in_flight) + 1

    def add(self, body: bytearray) -> bytearray | None:
        """Send `body`, which the caller must not use any more. Returns the body of a sent part, to be reused.

        Waits while enough parts are in flight. Raises AwsError when an earlier part failed, and again at each call.
        """
        while len(self._in_flight) >= MAX_IN_FLIGHT or (self._in_flight and self._in_flight[0][0].done()):
            self._collect()
        self._in_flight.append((self._pool.submit(self._send, self.next_number, body), body))
        # all buffers that can be needed at once are made first, so that memory depends neither on size nor on timing
        return self._free_buffers.popleft() if self.next_number > MAX_IN_FLIGHT + 1 else None

    def complete(self) -> None:
        """Complete the upload: the object exists when this returns. Raises AwsError, also for an earlier part."""
        while self._in_flight:
            self._collect()
        self._pool.shutdown()
        self._transport.send(s3.complete_multipart(self._bucket, self._key, self._upload, self._sent))

    def abort(self) -> None:
        """Discard what was sent, once no part is in flight any more. Raises AwsError."""
        self._pool.shutdown(cancel_futures=True)
        self._transport.send(s3.abort_multipart(self._bucket, self._key, self._upload))

    def _collect(self) -> None:
        # the failed part stays first in the queue, so that each later call fails on it again
        future, body = self._in_flight[0]
        self._sent.append(future.result())
        self._free_buffers.append(body)
        self._in_flight.popleft()

    def _send(self, number: int, body: bytearray) -> s3.CompletedPart:
        crc = crc32(body)
        return self._transport.send(
            s3.put_part(self._bucket, self._key, self._upload, number=number, body=body, crc32=crc)
        )
