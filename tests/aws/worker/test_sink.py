"""What a sink is given is what lies in S3, whatever its size and however it comes; or nothing does."""

from __future__ import annotations

import hashlib
import random
import secrets
import threading
import time
from collections.abc import Iterator
from itertools import pairwise
from typing import TypeVar
from zlib import crc32

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from coatcheck.authoring.types import Result
from coatcheck.aws_transport.protocols import Transport
from coatcheck.core.aws import s3, s3_keys
from coatcheck.core.aws.call import AwsError, AwsRefused, Call
from coatcheck.core.aws.dynamodb.item_size import MAX_RESULT_IN_ROW
from coatcheck.core.lifecycle import Status
from coatcheck.core.settings import Settings
from coatcheck_worker.dependencies import Redeliver
from coatcheck_worker.runner.storage.object_writer import ObjectWriter
from coatcheck_worker.runner.storage.part_uploader import MAX_IN_FLIGHT, MAX_SIZE, PART_SIZE, part_size
from tests.aws.worker.worker_harness import Number, WorkerHarness
from tests.transports import Fault, FaultyTransport, on, throttle

T = TypeVar("T")

NOISE = random.Random(4).randbytes(2 * PART_SIZE + 1)
IN_PARTS = ["CreateMultipartUpload", "UploadPart", "UploadPart", "CompleteMultipartUpload"]
SIZES = {
    0: [],
    1: [],
    # the mark of what is packed takes a byte
    MAX_RESULT_IN_ROW - 1: [],
    MAX_RESULT_IN_ROW: ["PutObject"],
    PART_SIZE - 1: ["PutObject"],
    PART_SIZE: ["PutObject"],
    PART_SIZE + 1: IN_PARTS,
    2 * PART_SIZE: IN_PARTS,
    2 * PART_SIZE + 1: [*IN_PARTS[:2], *IN_PARTS[1:]],
}


def sink(transport: Transport, settings: Settings, key: str, *, inline: int = MAX_RESULT_IN_ROW) -> ObjectWriter:
    return ObjectWriter(transport, settings.bucket, key, content_type="a/b", filename="c", inline=inline)


@pytest.fixture
def key(tenant: str) -> str:
    return f"results/{tenant}/{secrets.token_hex(6)}"


def stored(transport: Transport, settings: Settings, key: str) -> bytes:
    with transport.send(s3.get(settings.bucket, key)) as stream:
        return bytes(stream.read())


@pytest.mark.parametrize("size", SIZES)
def test_every_size_is_stored_whole_in_as_few_requests_as_it_takes(
    aws: Transport, settings: Settings, key: str, size: int
) -> None:
    transport = FaultyTransport(aws)
    body = NOISE[:size]
    out = sink(transport, settings, key)
    assert out.write(body) == size
    blob = out.finish()
    assert transport.operations == SIZES[size]
    assert (blob.size, blob.sha256, blob.content_type) == (size, hashlib.sha256(body).digest(), "a/b")
    assert (stored(aws, settings, key) if blob.inline is None else blob.inline) == body


@settings(max_examples=6, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(cuts=st.lists(st.integers(0, len(NOISE)), max_size=30), kind=st.sampled_from([bytes, bytearray, memoryview]))
def test_how_it_is_cut_does_not_matter(
    aws: Transport, settings: Settings, key: str, cuts: list[int], kind: type[bytes]
) -> None:
    out = sink(aws, settings, key)
    for start, end in pairwise(sorted([0, *cuts, len(NOISE)])):
        out.write(kind(NOISE[start:end]))
    assert out.finish().sha256 == hashlib.sha256(NOISE).digest()
    assert stored(aws, settings, key) == NOISE


@pytest.mark.parametrize("number", [1, 2, 5])
def test_a_part_that_fails_fails_the_attempt_and_leaves_nothing(harness: WorkerHarness, number: int) -> None:
    def noise(_: Number, __: object) -> Result:
        return Result(iter([NOISE[:PART_SIZE]] * 5))

    def is_part(call: Call[object]) -> bool:
        return call.operation == "UploadPart" and call.params["PartNumber"] == number

    counting = FaultyTransport(harness.transport, Fault(throttle, is_part))
    job = harness.submit()
    assert harness.run(harness.dependencies(noise, counting, Result), job) == Redeliver(0)
    assert counting.operations.count("AbortMultipartUpload") == 1
    assert "CompleteMultipartUpload" not in counting.operations
    assert harness.row(job).status is Status.QUEUED
    prefix = s3_keys.attempt_prefix(harness.row(job))
    assert harness.stored(job) == []
    assert harness.transport.send(s3.list_multipart_uploads(harness.settings.bucket, prefix)) == []


def test_a_failed_part_cannot_be_overlooked(aws: Transport, settings: Settings, key: str) -> None:
    out = sink(FaultyTransport(aws, Fault(throttle, on("UploadPart"))), settings, key)
    failures = 0
    for _ in range(8):
        try:
            out.write(NOISE[:PART_SIZE])
        except AwsError:
            failures += 1
    assert failures >= 8 - MAX_IN_FLIGHT - 2
    with pytest.raises(AwsError):
        out.finish()
    out.abort()


def test_a_handler_that_is_stopped_leaves_no_parts(harness: WorkerHarness) -> None:
    def stop(_: Number, __: object) -> Result:
        def chunks() -> Iterator[bytes]:
            yield NOISE
            raise ValueError

        return Result(chunks())

    job = harness.submit(max_attempts=1)
    harness.run(harness.dependencies(stop, output=Result), job)
    row = harness.row(job)
    assert row.status is Status.FAILED
    assert harness.transport.send(s3.list_multipart_uploads(harness.settings.bucket, s3_keys.attempt_prefix(row))) == []


class PartCountingTransport:
    """Notes what threads there are at each call, and how many parts were made and not yet sent; parts are slow."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport
        self._lock = threading.Lock()
        self.senders: set[str] = set()
        self.made = self.sent = self.most = 0

    def send(self, call: Call[T]) -> T:
        self.senders |= {thread.name for thread in threading.enumerate() if thread.name.startswith("part")}
        if call.operation == "UploadPart":
            time.sleep(0.05)
        answer = self._transport.send(call)
        with self._lock:
            self.sent += call.operation == "UploadPart"
        return answer

    def chunks(self, count: int) -> Iterator[bytes]:
        for _ in range(count):
            with self._lock:
                self.made += 1
                self.most = max(self.most, self.made - self.sent)
            yield NOISE[:PART_SIZE]


def test_what_fits_a_part_starts_no_thread(aws: Transport, settings: Settings, key: str) -> None:
    transport = PartCountingTransport(aws)
    out = sink(transport, settings, key)
    out.write(NOISE[:PART_SIZE])
    out.finish()
    assert transport.senders == set()


def test_parts_in_memory_are_few_and_no_thread_is_left(aws: Transport, settings: Settings, key: str) -> None:
    transport = PartCountingTransport(aws)
    out = sink(transport, settings, key)
    for chunk in transport.chunks(10):
        out.write(chunk)
    out.finish()
    assert len(transport.senders) == 2
    # those in flight, the one that is full, the one that comes
    assert 2 < transport.most <= MAX_IN_FLIGHT + 2
    assert not [thread for thread in threading.enumerate() if thread.name in transport.senders]


def test_a_part_that_is_not_what_was_sent_is_refused(
    aws: Transport, settings: Settings, key: str, request: pytest.FixtureRequest
) -> None:
    if "moto" in request.node.name:
        pytest.skip("moto verifies no checksum of a part")
    upload = aws.send(s3.start_multipart(settings.bucket, key, content_type="a/b"))
    declared = s3.put_part(settings.bucket, key, upload, number=1, body=b"told", crc32=crc32(b"told"))
    changed = Call("s3", declared.operation, {**declared.params, "Body": b"sent"}, declared.read)
    with pytest.raises(AwsRefused, match="BadDigest"):
        aws.send(changed)
    part = aws.send(declared)
    other = s3.CompletedPart(part.etag, "AAAAAA==")
    with pytest.raises(AwsRefused, match="InvalidPart"):
        aws.send(s3.complete_multipart(settings.bucket, key, upload, [other]))
    aws.send(s3.complete_multipart(settings.bucket, key, upload, [part]))
    assert stored(aws, settings, key) == b"told"


def test_the_largest_object_is_what_the_parts_make() -> None:
    assert {part_size(number) for number in range(1, 1001)} == {PART_SIZE}
    assert (part_size(1001), part_size(10_000)) == (2 * PART_SIZE, 10 * PART_SIZE)
    assert MAX_SIZE == 55_000 * PART_SIZE
