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

from coatcheck import blobs
from coatcheck.calls import AwsError, AwsRefused, Call
from coatcheck.deployment import Deployment
from coatcheck.lifecycle import Status
from coatcheck.table.room import RESULT_IN_ROW
from coatcheck.types import Result
from tests.aws.worker.doors import Counting, Refusing
from tests.aws.worker.world import Number, World
from worker.aws import Aws
from worker.parts import IN_FLIGHT, MAX_SIZE, PART, part_size
from worker.sink import Sink
from worker.tools import Again

T = TypeVar("T")

NOISE = random.Random(4).randbytes(2 * PART + 1)
IN_PARTS = ["CreateMultipartUpload", "UploadPart", "UploadPart", "CompleteMultipartUpload"]
SIZES = {
    0: [],
    1: [],
    # the mark of what is packed takes a byte
    RESULT_IN_ROW - 1: [],
    RESULT_IN_ROW: ["PutObject"],
    PART - 1: ["PutObject"],
    PART: ["PutObject"],
    PART + 1: IN_PARTS,
    2 * PART: IN_PARTS,
    2 * PART + 1: [*IN_PARTS[:2], *IN_PARTS[1:]],
}


def sink(door: Aws, deployment: Deployment, key: str, *, inline: int = RESULT_IN_ROW) -> Sink:
    return Sink(door, deployment.bucket, key, content_type="a/b", filename="c", inline=inline)


@pytest.fixture
def key(tenant: str) -> str:
    return f"results/{tenant}/{secrets.token_hex(6)}"


def stored(door: Aws, deployment: Deployment, key: str) -> bytes:
    with door.send(blobs.get(deployment.bucket, key)) as stream:
        return bytes(stream.read())


@pytest.mark.parametrize("size", SIZES)
def test_every_size_is_stored_whole_in_as_few_requests_as_it_takes(
    aws: Aws, deployment: Deployment, key: str, size: int
) -> None:
    door = Counting(aws)
    body = NOISE[:size]
    out = sink(door, deployment, key)
    assert out.write(body) == size
    blob = out.finish()
    assert door.operations == SIZES[size]
    assert (blob.size, blob.sha256, blob.content_type) == (size, hashlib.sha256(body).digest(), "a/b")
    assert (stored(aws, deployment, key) if blob.inline is None else blob.inline) == body


@settings(max_examples=6, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(cuts=st.lists(st.integers(0, len(NOISE)), max_size=30), kind=st.sampled_from([bytes, bytearray, memoryview]))
def test_how_it_is_cut_does_not_matter(
    aws: Aws, deployment: Deployment, key: str, cuts: list[int], kind: type[bytes]
) -> None:
    out = sink(aws, deployment, key)
    for start, end in pairwise(sorted([0, *cuts, len(NOISE)])):
        out.write(kind(NOISE[start:end]))
    assert out.finish().sha256 == hashlib.sha256(NOISE).digest()
    assert stored(aws, deployment, key) == NOISE


@pytest.mark.parametrize("number", [1, 2, 5])
def test_a_part_that_fails_fails_the_attempt_and_leaves_nothing(world: World, number: int) -> None:
    def noise(_: Number, __: object) -> Result:
        return Result(iter([NOISE[:PART]] * 5))

    def is_part(call: Call[object]) -> bool:
        return call.operation == "UploadPart" and call.params["PartNumber"] == number

    counting = Counting(Refusing(world.door, is_part))
    job = world.submit()
    assert world.run(world.tools(noise, counting, Result), job) == Again(0)
    assert counting.operations.count("AbortMultipartUpload") == 1
    assert "CompleteMultipartUpload" not in counting.operations
    assert world.row(job).status is Status.QUEUED
    prefix = blobs.attempt_prefix(world.row(job))
    assert world.stored(job) == []
    assert world.door.send(blobs.unfinished_under(world.deployment.bucket, prefix)) == []


def test_a_failed_part_cannot_be_overlooked(aws: Aws, deployment: Deployment, key: str) -> None:
    out = sink(Refusing(aws, lambda call: call.operation == "UploadPart"), deployment, key)
    failures = 0
    for _ in range(8):
        try:
            out.write(NOISE[:PART])
        except AwsError:
            failures += 1
    assert failures >= 8 - IN_FLIGHT - 2
    with pytest.raises(AwsError):
        out.finish()
    out.abort()


def test_a_handler_that_is_stopped_leaves_no_parts(world: World) -> None:
    def stop(_: Number, __: object) -> Result:
        def chunks() -> Iterator[bytes]:
            yield NOISE
            raise ValueError

        return Result(chunks())

    job = world.submit(max_attempts=1)
    world.run(world.tools(stop, output=Result), job)
    row = world.row(job)
    assert row.status is Status.FAILED
    assert world.door.send(blobs.unfinished_under(world.deployment.bucket, blobs.attempt_prefix(row))) == []


class Watching:
    """Notes what threads there are at each call, and how many parts were made and not yet sent; parts are slow."""

    def __init__(self, door: Aws) -> None:
        self._door = door
        self._lock = threading.Lock()
        self.senders: set[str] = set()
        self.made = self.sent = self.most = 0

    def send(self, call: Call[T]) -> T:
        self.senders |= {thread.name for thread in threading.enumerate() if thread.name.startswith("part")}
        if call.operation == "UploadPart":
            time.sleep(0.05)
        answer = self._door.send(call)
        with self._lock:
            self.sent += call.operation == "UploadPart"
        return answer

    def chunks(self, count: int) -> Iterator[bytes]:
        for _ in range(count):
            with self._lock:
                self.made += 1
                self.most = max(self.most, self.made - self.sent)
            yield NOISE[:PART]


def test_what_fits_a_part_starts_no_thread(aws: Aws, deployment: Deployment, key: str) -> None:
    door = Watching(aws)
    out = sink(door, deployment, key)
    out.write(NOISE[:PART])
    out.finish()
    assert door.senders == set()


def test_parts_in_memory_are_few_and_no_thread_is_left(aws: Aws, deployment: Deployment, key: str) -> None:
    door = Watching(aws)
    out = sink(door, deployment, key)
    for chunk in door.chunks(10):
        out.write(chunk)
    out.finish()
    assert len(door.senders) == 2
    # those in flight, the one that is full, the one that comes
    assert 2 < door.most <= IN_FLIGHT + 2
    assert not [thread for thread in threading.enumerate() if thread.name in door.senders]


def test_a_part_that_is_not_what_was_sent_is_refused(
    aws: Aws, deployment: Deployment, key: str, request: pytest.FixtureRequest
) -> None:
    if "moto" in request.node.name:
        pytest.skip("moto verifies no checksum of a part")
    upload = aws.send(blobs.start_multipart(deployment.bucket, key, content_type="a/b"))
    told = blobs.put_part(deployment.bucket, key, upload, number=1, body=b"told", crc32=crc32(b"told"))
    changed = Call("s3", told.operation, {**told.params, "Body": b"sent"}, told.read)
    with pytest.raises(AwsRefused, match="BadDigest"):
        aws.send(changed)
    part = aws.send(told)
    other = blobs.Part(part.etag, "AAAAAA==")
    with pytest.raises(AwsRefused, match="InvalidPart"):
        aws.send(blobs.complete_multipart(deployment.bucket, key, upload, [other]))
    aws.send(blobs.complete_multipart(deployment.bucket, key, upload, [part]))
    assert stored(aws, deployment, key) == b"told"


def test_the_largest_object_is_what_the_parts_make() -> None:
    assert {part_size(number) for number in range(1, 1001)} == {PART}
    assert (part_size(1001), part_size(10_000)) == (2 * PART, 10 * PART)
    assert MAX_SIZE == 55_000 * PART
