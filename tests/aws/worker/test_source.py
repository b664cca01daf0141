"""An upload is a file: it seeks, it survives broken connections, and it does not change while it is read."""

from __future__ import annotations

import hashlib
import io
import random
import shutil
import threading
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from http.server import ThreadingHTTPServer
from typing import Any, TypeVar

import pytest
from PIL import Image

from bench import null_s3
from coatcheck.authoring.context import Context
from coatcheck.authoring.retry import Reject
from coatcheck.authoring.upload import Upload
from coatcheck.aws_transport.protocols import Transport
from coatcheck.core.aws import s3, s3_keys, s3_multipart
from coatcheck.core.aws.call import AwsUnavailable, Call
from coatcheck.core.lifecycle import Status
from coatcheck.core.settings import Settings
from coatcheck_worker.runner.storage.object_reader import MAX_RESUMES, MAX_SKIP, READ_AHEAD, ObjectReader
from tests.aws import emulators
from tests.aws.worker.worker_harness import Number, WorkerHarness
from tests.transports import Effect, Fault, FaultyTransport, Steps

T = TypeVar("T")

MIB = 1024**2
NOISE = random.Random(5).randbytes(5 * MIB)


@pytest.fixture
def key(tenant: str) -> str:
    return s3_keys.upload_key(tenant, "upl_a")


def opened(transport: Transport, settings: Settings, key: str) -> io.BufferedReader:
    return io.BufferedReader(ObjectReader(transport, settings.bucket, key, name="upload upl_a"), READ_AHEAD)


def store(transport: Transport, settings: Settings, key: str, body: bytes) -> None:
    sha256 = hashlib.sha256(body).digest()
    transport.send(s3.put(settings.bucket, key, body, content_type="a/b", sha256=sha256))


def test_it_reads_as_a_local_file_does(aws: Transport, settings: Settings, key: str) -> None:
    store(aws, settings, key, NOISE)
    local, chance = io.BytesIO(NOISE), random.Random(6)
    with opened(aws, settings, key) as file:
        assert (file.readable(), file.seekable(), file.writable()) == (True, True, False)
        for _ in range(60):
            if chance.random() < 0.7:
                whence = chance.choice([io.SEEK_SET, io.SEEK_CUR, io.SEEK_END])
                far = chance.choice([100, READ_AHEAD, MAX_SKIP, len(NOISE)])
                start = {io.SEEK_SET: 0, io.SEEK_CUR: local.tell(), io.SEEK_END: len(NOISE)}[whence]
                offset = max(chance.randint(-far, far), -start)
                assert file.seek(offset, whence) == local.seek(offset, whence)
            size = chance.choice([0, 1, 1000, READ_AHEAD + 1, MIB])
            assert file.read(size) == local.read(size)
            assert file.tell() == local.tell()
        with pytest.raises(OSError, match="cannot seek"):
            file.seek(-len(NOISE) - 1, io.SEEK_END)


@pytest.mark.parametrize("size", [0, 1, len(NOISE)])
def test_from_start_to_end_it_is_one_request(aws: Transport, settings: Settings, key: str, size: int) -> None:
    store(aws, settings, key, NOISE[:size])
    transport = FaultyTransport(aws)
    with opened(transport, settings, key) as file:
        assert file.read() == NOISE[:size]
        assert file.read(1) == b""
        file.seek(size + 10)
        assert file.read(1) == b""
    assert transport.operations == ["GetObject"]


def test_reading_on_after_a_jump_takes_few_requests(aws: Transport, settings: Settings, key: str) -> None:
    store(aws, settings, key, NOISE)
    transport = FaultyTransport(aws)
    with opened(transport, settings, key) as file:
        file.seek(2 * MIB)
        assert b"".join(iter(lambda: file.read(1000), b"")) == NOISE[2 * MIB :]
    asked = [call.params["Range"] for call in transport.calls[1:]]
    assert len(asked) == 3, "256 KB, 1 MB, the rest"


def test_one_member_of_a_large_zip_takes_a_few_ranges(aws: Transport, settings: Settings, key: str) -> None:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        for number in range(20):
            archive.writestr(f"{number}.bin", NOISE[:MIB])
        archive.writestr("words.txt", "in the end")
    store(aws, settings, key, made.getvalue())
    transport = FaultyTransport(aws)
    with opened(transport, settings, key) as file, zipfile.ZipFile(file) as archive:
        assert archive.read("3.bin") == NOISE[:MIB]
        assert archive.read("words.txt") == b"in the end"
    bounds = [call.params["Range"].removeprefix("bytes=").split("-") for call in transport.calls[1:]]
    assert len(bounds) <= 6
    assert sum(int(last) + 1 - int(first) for first, last in bounds) < 3 * MIB


def test_pillow_opens_it(aws: Transport, settings: Settings, key: str) -> None:
    made = io.BytesIO()
    Image.frombytes("RGB", (640, 480), NOISE[: 640 * 480 * 3]).save(made, "PNG")
    store(aws, settings, key, made.getvalue())
    with opened(aws, settings, key) as file, Image.open(file) as image:
        assert image.tobytes() == NOISE[: 640 * 480 * 3]


@pytest.mark.parametrize("change", ["removed", "replaced"])
def test_it_does_not_become_another_while_it_is_read(aws: Transport, settings: Settings, key: str, change: str) -> None:
    store(aws, settings, key, NOISE)
    with opened(aws, settings, key) as file:
        file.read(10)
        if change == "removed":
            aws.send(s3.delete(settings.bucket, [key]))
        else:
            store(aws, settings, key, NOISE[::-1])
        file.seek(-10, io.SEEK_END)
        with pytest.raises(FileNotFoundError, match="upload upl_a was removed or replaced while it was read"):
            file.read()
    if change == "removed":
        with pytest.raises(FileNotFoundError, match="upload upl_a is no longer kept"):
            opened(aws, settings, key)


class BrokenStream(io.RawIOBase):
    """A stream whose connection breaks after `left` bytes."""

    def __init__(self, stream: Any, left: int) -> None:
        super().__init__()
        self._stream, self._left = stream, left

    def readinto(self, buffer: Any) -> int:
        if not self._left:
            raise ConnectionResetError
        got = int(self._stream.readinto(memoryview(buffer)[: self._left]))
        self._left -= got
        return got

    def close(self) -> None:
        self._stream.close()
        super().close()


def break_streams(after: int) -> Effect:
    """Let every stream of an answer break after `after` bytes."""

    def effect(call: Call[Any]) -> Steps:
        answer = yield call
        if isinstance(answer, s3.OpenedObject):
            return replace(answer, stream=BrokenStream(answer.stream, after))
        return BrokenStream(answer, after) if call.operation == "GetObject" else answer

    return effect


def test_a_connection_that_breaks_is_made_again(aws: Transport, settings: Settings, key: str) -> None:
    store(aws, settings, key, NOISE)
    transport = FaultyTransport(aws, Fault(break_streams(700_000)))
    with opened(transport, settings, key) as file:
        assert file.read() == NOISE
    assert len(transport.operations) == -(-len(NOISE) // 700_000)


def test_when_nothing_comes_any_more_the_attempt_is_tried_again(harness: WorkerHarness) -> None:
    store(harness.transport, harness.settings, s3_keys.upload_key(harness.tenant, "upl_a"), NOISE)
    upload = Upload.model_validate({"$upload": "upl_a"})
    raised: list[BaseException] = []

    def read(_: Number, ctx: Context) -> Number:
        try:
            ctx.open_input(upload).read()
        except AwsUnavailable as error:
            raised.append(error)
            raise
        return Number()

    transport = FaultyTransport(harness.transport, Fault(break_streams(0)))
    job = harness.submit()
    harness.run(harness.dependencies(read, transport), job)
    assert harness.row(job).status is Status.QUEUED
    assert [str(error) for error in raised] == ["s3 GetObject: ConnectionResetError"]
    assert transport.operations.count("GetObject") == MAX_RESUMES + 1


class TruncatingHandler(null_s3.Handler):
    """Promises all and hangs up in the middle, but for the last MB."""

    def send_header(self, keyword: str, value: str) -> None:
        super().send_header(keyword, value)
        if keyword == "Content-Length" and int(value) > MIB:
            self.wfile = _TruncatedWriter(self.wfile, int(value) // 2)  # type: ignore[assignment]
            self.close_connection = True


class _TruncatedWriter:
    """Takes so many bytes of a body, and lets the rest fall."""

    def __init__(self, file: Any, left: int) -> None:
        self._file, self._left, self._head = file, left, True

    def write(self, data: bytes) -> None:
        if self._head:
            self._head = False
            self._file.write(data)
            return
        self._file.write(data[: self._left])
        self._left = max(0, self._left - len(data))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)


@contextmanager
def serving(handler: type[null_s3.Handler]) -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_a_server_that_hangs_up_is_asked_for_the_rest() -> None:
    with serving(TruncatingHandler) as url:
        transport = FaultyTransport(emulators.connect(url))
        with io.BufferedReader(ObjectReader(transport, "bucket", f"zeros-{8 * MIB}", name="zeros"), READ_AHEAD) as file:
            assert file.read() == bytes(8 * MIB)
    assert [call.params.get("Range") for call in transport.calls] == [
        None,
        *(f"bytes={first * MIB}-{8 * MIB - 1}" for first in (4, 6, 7)),
    ]


@pytest.mark.parametrize("right", [True, False])
def test_what_came_in_parts_is_held_to_what_was_declared(
    aws: Transport,
    settings: Settings,
    key: str,
    right: bool,  # noqa: FBT001
) -> None:
    declared = hashlib.sha256(NOISE if right else b"other").digest()
    upload = aws.send(s3_multipart.start(settings.bucket, key, content_type="a/b", sha256=declared))
    params = {"Bucket": settings.bucket, "Key": key, "UploadId": upload}
    etag: str = aws.send(
        Call("s3", "UploadPart", {**params, "PartNumber": 1, "Body": NOISE}, read=lambda answer: answer["ETag"])
    )
    made = {"Parts": [{"PartNumber": 1, "ETag": etag}]}
    aws.send(Call("s3", "CompleteMultipartUpload", {**params, "MultipartUpload": made}, read=lambda _: None))
    with opened(aws, settings, key) as file:
        file.seek(-10, io.SEEK_END)
        assert file.read() == NOISE[-10:], "who jumps about is not told"
        file.seek(0)
        if right:
            assert file.read() == NOISE
        else:
            with pytest.raises(Reject, match=r"upload upl_a is not what was announced: its sha256 is \w{64}, not"):
                shutil.copyfileobj(file, io.BytesIO())
