"""Results that come down and inputs that go up, over real HTTP: where credentials go, what a broken transfer leaves."""

from __future__ import annotations

import gc
import hashlib
import json
import random
import socket
import struct
import threading
import time
import tracemalloc
from collections.abc import Iterator
from contextlib import nullcontext
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

import httpcore
import httpx
import pytest
from starlette.responses import JSONResponse, RedirectResponse, Response, StreamingResponse

from coatcheck.client.exceptions import NotFinished, ProblemError, TransferFailed
from coatcheck.client.file_download import PARTIAL_CONTENT
from coatcheck.client.job import Job
from coatcheck.client.response_body import BUFFERS, PIECE, read_body
from coatcheck.client.sync_client import Client
from coatcheck.client.threaded_digest import THREAD_NAME
from tests.unit.client.raw_server import Behave, sends, serving

if TYPE_CHECKING:
    from tests.unit.client.conftest import FakeServer

KEY = "key-of-the-test"
DONE = {"id": "job_a", "status": "succeeded", "done": True}


@pytest.fixture
def client(fake_server: FakeServer) -> Iterator[Client]:
    with Client(fake_server.url + "/", KEY, retry_timeout=5) as client:
        yield client


def problem(status: int, **headers: str) -> Response:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return JSONResponse({"title": "No", "status": status}, status, named, "application/problem+json")


def with_result(body: bytes, sha256: str | None = None, size: int | None = None) -> Job:
    digest = sha256 or hashlib.sha256(body).hexdigest()
    entry = {"size": len(body) if size is None else size, "content_type": "text/csv", "sha256": digest}
    return Job({**DONE, "result": entry, "artifacts": [{**entry, "name": "sheet.png"}]})


def test_a_small_result(client: Client, fake_server: FakeServer, tmp_path: Path) -> None:
    fake_server.on("GET /v1/jobs/job_a/result", Response(b"a,b\n", media_type="text/csv"))
    steps: list[tuple[int, int]] = []
    client.download(with_result(b"a,b\n"), tmp_path / "out.csv", progress=lambda *step: steps.append(step))
    assert (tmp_path / "out.csv").read_bytes() == b"a,b\n"
    assert [file.name for file in tmp_path.iterdir()] == ["out.csv"]
    assert steps == [(4, 4)]


def test_a_large_result_comes_from_the_storage_without_credentials(client: Client, fake_server: FakeServer) -> None:
    # the same host and port on purpose: there a redirect that is followed blindly keeps the key
    fake_server.on("GET /v1/jobs/job_a/result/sheet.png", RedirectResponse(f"{fake_server.url}/bucket/key?sig=1", 303))
    fake_server.on("GET /bucket/key", Response(b"bytes"))
    sink = BytesIO()
    client.read_result(with_result(b"bytes"), sink, "sheet.png")
    assert sink.getvalue() == b"bytes"
    asked, fetched = fake_server.recorded
    assert asked.headers["authorization"] == f"Bearer {KEY}"
    assert "authorization" not in fetched.headers
    assert fetched.query == {"sig": "1"}


def test_a_storage_that_is_busy_is_asked_again_through_a_fresh_link(client: Client, fake_server: FakeServer) -> None:
    fake_server.on("GET /v1/jobs/job_a/result", RedirectResponse("/bucket/key", 303))
    fake_server.on("GET /bucket/key", Response(b"<Code>SlowDown</Code>", 503), Response(b"bytes"))
    client.read_result(with_result(b"bytes"), BytesIO())
    assert fake_server.calls() == ["GET /v1/jobs/job_a/result", "GET /bucket/key"] * 2


def test_a_storage_that_refuses(client: Client, fake_server: FakeServer, tmp_path: Path) -> None:
    fake_server.on("GET /v1/jobs/job_a/result", RedirectResponse("/bucket/key?X-Amz-Signature=secret", 303))
    fake_server.on("GET /bucket/key", Response(b"<Error><Code>AccessDenied</Code></Error>", 403))
    with pytest.raises(TransferFailed) as raised:
        client.download(with_result(b"bytes"), tmp_path / "out")
    assert (
        str(raised.value)
        == f"the result could not be fetched: {fake_server.url}/bucket/key answered 403 (AccessDenied)"
    )
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("sent", "job", "line"),
    [
        (b"right", with_result(b"wrong"), "its sha256 is not the one in the job"),
        (b"longer", with_result(b"short"), "has 6 bytes, not 5 as the job says"),
        (b"", with_result(b"short"), "has 0 bytes, not 5 as the job says"),
        (b"any", Job(DONE), "a result that the job does not have"),
    ],
)
def test_a_download_that_is_not_what_the_job_says(
    fake_server: FakeServer, tmp_path: Path, sent: bytes, job: Job, line: str
) -> None:
    fake_server.on("GET /v1/jobs/job_a/result", Response(sent))
    (tmp_path / "out").write_text("from before")
    with Client(fake_server.url, KEY) as client, pytest.raises(TransferFailed, match=line):
        client.download(job, tmp_path / "out")
    assert [file.name for file in tmp_path.iterdir()] == ["out"]
    assert (tmp_path / "out").read_text() == "from before"


def test_a_download_that_breaks_off(client: Client, fake_server: FakeServer, tmp_path: Path) -> None:
    fake_server.on("GET /v1/jobs/job_a/result", Response(b"only a part", headers={"Content-Length": "1000"}))
    with pytest.raises(TransferFailed, match="broke off after"):
        client.download(with_result(b"only a part", size=1000), tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_a_download_that_breaks_off_goes_on_by_a_fresh_link(
    client: Client, fake_server: FakeServer, tmp_path: Path
) -> None:
    links = [RedirectResponse(f"/bucket/key?link={number}", 303) for number in range(3)]
    fake_server.on("GET /v1/jobs/job_a/result", *links)
    fake_server.on(
        "GET /bucket/key",
        Response(b"0123", headers={"Content-Length": "10"}),
        Response(b"4567", PARTIAL_CONTENT, {"Content-Length": "6", "Content-Range": "bytes 4-9/10"}),
        Response(b"89", PARTIAL_CONTENT, {"Content-Range": "bytes 8-9/10"}),
    )
    steps: list[tuple[int, int]] = []
    client.download(with_result(b"0123456789"), tmp_path / "out", progress=lambda *step: steps.append(step))
    assert (tmp_path / "out").read_bytes() == b"0123456789"
    fetched = [recorded for recorded in fake_server.recorded if recorded.call == "GET /bucket/key"]
    assert [(one.query["link"], one.headers.get("range")) for one in fetched] == [
        ("0", None),
        ("1", "bytes=4-"),
        ("2", "bytes=8-"),
    ]
    assert steps == [(4, 10), (8, 10), (10, 10)]


def test_a_download_that_breaks_off_and_comes_from_its_start_again(client: Client, fake_server: FakeServer) -> None:
    fake_server.on(
        "GET /v1/jobs/job_a/result",
        Response(b"0123", headers={"Content-Length": "10"}),
        Response(b"0123456789"),
    )
    sink = BytesIO()
    client.read_result(with_result(b"0123456789"), sink)
    assert sink.getvalue() == b"0123456789"


LARGE = random.Random(1).randbytes(5_000_001)
HEAD = f"HTTP/1.1 200 OK\r\nContent-Length: {len(LARGE)}\r\n\r\n".encode()


@pytest.mark.parametrize("first", [0, 1, 70_000, 2_000_000], ids=lambda size: f"{size} bytes with the head")
def test_a_large_result_is_what_was_sent(first: int, tmp_path: Path) -> None:
    # what comes with the head is read by httpx, and the rest beside it
    steps: list[tuple[int, int]] = []
    with serving(sends(HEAD + LARGE[:first], LARGE[first:], pause=0.05)) as url, Client(url, KEY) as client:
        client.download(with_result(LARGE), tmp_path / "out", progress=lambda *step: steps.append(step))
    assert (tmp_path / "out").read_bytes() == LARGE
    assert steps[-1] == (len(LARGE), len(LARGE))


def reset(connection: socket.socket) -> None:
    """End a connection as a machine does that knows nothing of it any more."""
    connection.sendall(HEAD + LARGE[:3_000_000])
    # what is on its way would be dropped
    time.sleep(0.2)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


@pytest.mark.parametrize("breaks_off", [sends(HEAD + LARGE[:3_000_000]), reset], ids=["closed", "reset"])
def test_a_large_result_that_breaks_off_goes_on(breaks_off: Behave) -> None:
    sink = BytesIO()

    def rest(connection: socket.socket) -> None:
        size, start = len(LARGE), sink.tell()
        head = f"Content-Length: {size - start}\r\nContent-Range: bytes {start}-{size - 1}/{size}\r\n\r\n"
        connection.sendall(b"HTTP/1.1 206 Partial Content\r\n" + head.encode() + LARGE[start:])

    with serving(breaks_off, rest) as url, Client(url, KEY) as client:
        client.read_result(with_result(LARGE), sink)
    assert sink.getvalue() == LARGE


def test_a_caller_may_keep_what_its_output_is_given() -> None:
    class Kept:
        def __init__(self) -> None:
            self.pieces: list[bytes] = []

        def write(self, data: bytes, /) -> None:
            self.pieces.append(data)

    twice = LARGE * 2
    head = f"HTTP/1.1 200 OK\r\nContent-Length: {len(twice)}\r\n\r\n".encode()
    kept = Kept()
    with serving(sends(head + twice)) as url, Client(url, KEY) as client:
        client.read_result(with_result(twice), kept)
    assert len(kept.pieces) > BUFFERS
    assert b"".join(kept.pieces) == twice


def test_what_arrives_is_passed_on_before_a_piece_is_full() -> None:
    enough, seen = PIECE - 100_000, threading.Event()
    trickled: list[int] = []

    def slowly(connection: socket.socket) -> None:
        sent = 100_000
        connection.sendall(HEAD + LARGE[:sent])
        while sent < enough and not seen.wait(0.05):
            connection.sendall(LARGE[sent : sent + 1000])
            sent += 1000
        trickled.append(sent)
        connection.sendall(LARGE[sent:])

    def progress(size: int, _: int) -> None:
        if size > 100_000:
            seen.set()

    with serving(slowly) as url, Client(url, KEY) as client:
        client.read_result(with_result(LARGE), BytesIO(), progress=progress)
    assert trickled[0] < enough


@pytest.mark.parametrize("cut_off", [False, True])
def test_a_connection_whose_socket_has_other_bytes_is_read_through_its_stream(cut_off: bool) -> None:  # noqa: FBT001
    # as of TLS within the TLS of a proxy
    quarter = PIECE // 4
    arriving = [LARGE[start : start + quarter] for start in range(0, len(LARGE), quarter)]
    response = httpx.Response(
        200,
        headers={"Content-Length": str(len(LARGE) + 5 + cut_off)},
        stream=httpx.ByteStream(b"first"),
        extensions={"network_stream": httpcore.MockStream(arriving), "http_version": b"HTTP/1.1"},
        request=httpx.Request("GET", "https://storage.example/", extensions={"timeout": {"read": 5.0}}),
    )
    received = bytearray()
    with pytest.raises(httpx.RemoteProtocolError, match="1 bytes before the end") if cut_off else nullcontext():
        for piece in read_body(response):
            received += piece
    assert received == b"first" + LARGE


def test_a_large_result_of_other_bytes_is_refused() -> None:
    with (
        serving(sends(HEAD + bytes(len(LARGE)))) as url,
        Client(url, KEY) as client,
        pytest.raises(TransferFailed, match="its sha256 is not the one in the job"),
    ):
        client.read_result(with_result(LARGE), BytesIO())
    assert THREAD_NAME not in {thread.name for thread in threading.enumerate()}


def test_no_result_yet(client: Client, fake_server: FakeServer) -> None:
    with pytest.raises(NotFinished):
        client.read_result(Job({"id": "job_a", "status": "running", "done": False}), BytesIO())
    assert fake_server.recorded == []


def test_no_result_to_come(client: Client, fake_server: FakeServer) -> None:
    fake_server.on("GET /v1/jobs/job_a/result", problem(409))
    with pytest.raises(ProblemError) as raised:
        client.read_result(Job({**DONE, "status": "failed"}), BytesIO())
    assert raised.value.status == 409


def test_a_special_file_is_written_directly(client: Client, fake_server: FakeServer) -> None:
    fake_server.on("GET /v1/jobs/job_a/result", Response(b"bytes"))
    client.download(with_result(b"bytes"), Path("/dev/null"))
    assert Path("/dev/null").is_char_device()


def test_memory_does_not_grow_with_the_result(client: Client, fake_server: FakeServer, tmp_path: Path) -> None:
    piece, pieces = bytes(1 << 16), 1024
    digest = hashlib.sha256(piece * pieces).hexdigest()
    job = with_result(b"", sha256=digest, size=len(piece) * pieces)
    fake_server.on("GET /v1/jobs/job_a/result", lambda: StreamingResponse(iter([piece] * pieces)))
    gc.collect()
    tracemalloc.start()
    client.download(job, tmp_path / "out")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert (tmp_path / "out").stat().st_size == 64 << 20
    assert peak < 16 << 20


def ticket(fake_server: FakeServer) -> Response:
    headers = {"Content-Type": "text/csv", "x-amz-checksum-sha256": "sum"}
    document = {"id": "upl_a", "method": "PUT", "url": f"{fake_server.url}/bucket/up?sig=1", "headers": headers}
    return JSONResponse({**document, "expires_at": "2026-11-01T10:00:00Z"}, 201)


def test_an_upload(client: Client, fake_server: FakeServer, tmp_path: Path) -> None:
    file = tmp_path / "flights.csv"
    file.write_bytes(b"x" * 600_000)
    fake_server.on("POST /v1/uploads", ticket(fake_server))
    fake_server.on("PUT /bucket/up", Response(b"<Code>InternalError</Code>", 500), Response())
    steps: list[tuple[int, int]] = []
    assert client.upload(file, progress=lambda *step: steps.append(step)) == "upl_a"
    asked, first, second = fake_server.recorded
    assert json.loads(asked.body) == {
        "filename": "flights.csv",
        "content_type": "text/csv",
        "size": 600_000,
        "sha256": hashlib.sha256(file.read_bytes()).hexdigest(),
    }
    assert first.body == second.body == file.read_bytes()
    assert second.headers["content-length"] == "600000"
    assert second.headers["x-amz-checksum-sha256"] == "sum"
    assert "transfer-encoding" not in second.headers
    assert "authorization" not in second.headers
    assert steps[-1] == (600_000, 600_000)


def test_an_empty_upload_of_a_type_nobody_knows(client: Client, fake_server: FakeServer, tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    fake_server.on("POST /v1/uploads", ticket(fake_server))
    fake_server.on("PUT /bucket/up", Response())
    client.upload(tmp_path / "empty")
    assert json.loads(fake_server.recorded[0].body)["content_type"] == "application/octet-stream"
    assert fake_server.recorded[1].headers["content-length"] == "0"


def test_an_upload_that_the_storage_refuses(client: Client, fake_server: FakeServer, tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"x")
    fake_server.on("POST /v1/uploads", ticket(fake_server))
    fake_server.on("PUT /bucket/up", Response(b"<Error><Code>BadDigest</Code></Error>", 400))
    # it might have been the link
    described = {"id": "upl_a", "filename": "f", "size": 1, "sha256": None}
    fake_server.on(
        "GET /v1/uploads/upl_a", JSONResponse(described | {"ticket": json.loads(bytes(ticket(fake_server).body))})
    )
    with pytest.raises(TransferFailed, match=r"the upload was refused: .*/bucket/up answered 400 \(BadDigest\)"):
        client.upload(tmp_path / "f")


def test_a_file_that_grows_while_it_is_sent(client: Client, fake_server: FakeServer, tmp_path: Path) -> None:
    file = tmp_path / "log"
    file.write_bytes(b"x" * 400_000)
    fake_server.on("POST /v1/uploads", ticket(fake_server))
    fake_server.on("PUT /bucket/up", Response())

    def grow(sent: int, size: int) -> None:
        if sent < size:
            with file.open("ab") as more:
                more.write(b"y")

    with pytest.raises(TransferFailed, match="changed while it was being uploaded"):
        client.upload(file, progress=grow)
