"""Uploads in parts over real HTTP: what is sent, what is not sent again, what is left when one ends early."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from starlette.responses import JSONResponse, Response

from coatcheck.client.exceptions import InvalidArgumentError, ProblemError, TransferFailed
from coatcheck.client.file_upload import MULTIPART_THRESHOLD
from coatcheck.client.sync_client import Client

if TYPE_CHECKING:
    from tests.unit.client.conftest import FakeServer

PART = 300_000
BODY = b"".join(bytes([n]) * PART for n in range(4)) + b"the rest"
SIZE, SHA256 = len(BODY), hashlib.sha256(BODY).hexdigest()


@pytest.fixture
def client(fake_server: FakeServer) -> Iterator[Client]:
    with Client(fake_server.url, "key-of-the-test", retry_timeout=5) as client:
        yield client


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "flights.csv"
    path.write_bytes(BODY)
    return path


def page(fake_server: FakeServer, *numbers: int, more: bool = False, link: str = "part") -> dict[str, Any]:
    """Where to send these parts."""
    parts = [{"number": number, "url": f"{fake_server.url}/{link}/{number}?sig=1"} for number in numbers]
    return {"parts": parts, "next_parts": "https://elsewhere/" if more else None, "expires_at": "-"}


def ticket(fake_server: FakeServer, *numbers: int, more: bool = False) -> dict[str, Any]:
    return {"id": "upl_a", "part_size": PART, **page(fake_server, *numbers, more=more)}


def view(ticket: dict[str, Any] | None, **more: Any) -> Response:
    """The upload as it is."""
    document = {"id": "upl_a", "filename": "flights.csv", "size": SIZE, "sha256": SHA256, "ticket": ticket}
    return JSONResponse(document | more)


def takes_parts(fake_server: FakeServer, *numbers: int, link: str = "part") -> None:
    for number in numbers:
        fake_server.on(f"PUT /{link}/{number}", Response())
    fake_server.on("POST /v1/uploads/upl_a/complete", view(None))


def parts_sent(fake_server: FakeServer) -> list[str]:
    return sorted(call for call in fake_server.calls() if call.startswith("PUT "))


def test_parts_are_sent_page_by_page(client: Client, fake_server: FakeServer, file: Path) -> None:
    fake_server.on("POST /v1/uploads", JSONResponse(ticket(fake_server, 1, 2, 3, more=True), 201))
    fake_server.on("GET /v1/uploads/upl_a/parts", JSONResponse(page(fake_server, 4, 5)))
    takes_parts(fake_server, 1, 2, 3, 4, 5)
    steps: list[tuple[int, int]] = []
    begun: list[str] = []
    assert client.upload(file, progress=lambda *step: steps.append(step), on_started=begun.append) == "upl_a"
    assert begun == ["upl_a"]
    assert steps[-1] == (SIZE, SIZE)
    assert [done for done, _ in steps] == sorted(done for done, _ in steps)
    sent = {recorded.call: recorded for recorded in fake_server.recorded if recorded.call.startswith("PUT ")}
    assert b"".join(sent[f"PUT /part/{number}"].body for number in range(1, 6)) == BODY
    for recorded in sent.values():
        assert recorded.headers["content-length"] == str(len(recorded.body))
        # nothing is between here and there: no digest of a part
        assert {"authorization", "transfer-encoding", "content-md5"}.isdisjoint(recorded.headers)
    # the next page is asked of the server that is known, whatever address it names
    asked = next(recorded for recorded in fake_server.recorded if recorded.call.endswith("/parts"))
    assert (asked.query, asked.headers["authorization"]) == ({"after": "3"}, "Bearer key-of-the-test")
    assert fake_server.calls()[-1] == "POST /v1/uploads/upl_a/complete"


def test_parts_that_go_over_a_network_in_plain_text_have_an_md5(
    client: Client, fake_server: FakeServer, file: Path
) -> None:
    # an address of this machine that does not look like one
    elsewhere = replace(fake_server, url=fake_server.url.replace("127.0.0.1", "0.0.0.0"))
    fake_server.on("POST /v1/uploads", JSONResponse(ticket(elsewhere, 1, 2, 3, 4, 5), 201))
    takes_parts(fake_server, 1, 2, 3, 4, 5)
    client.upload(file)
    sent = [recorded for recorded in fake_server.recorded if recorded.call.startswith("PUT ")]
    assert len(sent) == 5
    for recorded in sent:
        digest = hashlib.md5(recorded.body, usedforsecurity=False).digest()
        assert recorded.headers["content-md5"] == base64.b64encode(digest).decode()


def test_what_arrived_is_not_sent_again(client: Client, fake_server: FakeServer, file: Path) -> None:
    fake_server.on("GET /v1/uploads/upl_a", view(ticket(fake_server, 2, 5)))
    takes_parts(fake_server, 2, 5)
    steps: list[tuple[int, int]] = []
    assert client.upload(file, resume="upl_a", progress=lambda *step: steps.append(step)) == "upl_a"
    assert parts_sent(fake_server) == ["PUT /part/2", "PUT /part/5"]
    assert steps[-1] == (SIZE, SIZE)


def test_of_a_complete_upload_nothing_is_sent(client: Client, fake_server: FakeServer, file: Path) -> None:
    fake_server.on("GET /v1/uploads/upl_a", view(None))
    assert client.upload(file, resume="upl_a") == "upl_a"
    assert fake_server.calls() == ["GET /v1/uploads/upl_a"]


@pytest.mark.parametrize("other", [{"size": SIZE + 1}, {"sha256": "0" * 64}, {"sha256": None}])
def test_an_upload_of_another_file_is_left_alone(
    client: Client, fake_server: FakeServer, file: Path, other: dict[str, Any]
) -> None:
    fake_server.on("GET /v1/uploads/upl_a", view(ticket(fake_server, 1), **other))
    with pytest.raises(InvalidArgumentError, match=r"upl_a is not an upload of .*flights\.csv"):
        client.upload(file, resume="upl_a")
    assert len(fake_server.recorded) == 1


def test_a_part_that_fails_for_a_while_is_sent_again(client: Client, fake_server: FakeServer, file: Path) -> None:
    fake_server.on("POST /v1/uploads", JSONResponse(ticket(fake_server, 1, 2, 3, 4, 5), 201))
    takes_parts(fake_server, 1, 2, 3, 4, 5)
    fake_server.on("PUT /part/2", Response(b"<Code>SlowDown</Code>", 503), Response())
    steps: list[tuple[int, int]] = []
    client.upload(file, progress=lambda *step: steps.append(step))
    assert parts_sent(fake_server).count("PUT /part/2") == 2
    assert steps[-1] == (SIZE, SIZE)


@pytest.mark.parametrize("status", [400, 403])
def test_a_link_that_has_expired_is_asked_for_anew(
    client: Client, fake_server: FakeServer, file: Path, status: int
) -> None:
    fake_server.on("POST /v1/uploads", JSONResponse(ticket(fake_server, 1, 2, 3, 4, 5), 201))
    takes_parts(fake_server, 1, 3, 4, 5)
    fake_server.on("PUT /part/2", Response(b"<Code>AccessDenied</Code>", status))
    fake_server.on("GET /v1/uploads/upl_a/parts", JSONResponse(page(fake_server, 2, link="fresh")))
    takes_parts(fake_server, 2, link="fresh")
    client.upload(file)
    assert fake_server.calls().count("PUT /fresh/2") == 1
    assert [recorded.query for recorded in fake_server.recorded if recorded.call.startswith("GET ")] == [{"after": "1"}]
    assert fake_server.calls()[-1] == "POST /v1/uploads/upl_a/complete"


def test_a_part_that_is_refused_ends_the_upload(client: Client, fake_server: FakeServer, file: Path) -> None:
    fake_server.on("POST /v1/uploads", JSONResponse(ticket(fake_server, 1, 2, 3, 4, 5), 201))
    takes_parts(fake_server, 2, 3, 4, 5)
    fake_server.on("PUT /part/1", Response(b"<Code>NoSuchUpload</Code>", 404))
    with pytest.raises(TransferFailed, match=r"/part/1 answered 404 \(NoSuchUpload\)"):
        client.upload(file)
    assert "POST /v1/uploads/upl_a/complete" not in fake_server.calls()


def test_a_file_that_is_written_to_is_not_completed(client: Client, fake_server: FakeServer, file: Path) -> None:
    fake_server.on("POST /v1/uploads", JSONResponse(ticket(fake_server, 1, 2, 3, 4, 5), 201))
    takes_parts(fake_server, 1, 2, 3, 4, 5)

    def write(_: str) -> None:
        with file.open("r+b") as same_size:
            same_size.write(b"other")

    with pytest.raises(TransferFailed, match="changed while it was being uploaded"):
        client.upload(file, on_started=write)
    assert "POST /v1/uploads/upl_a/complete" not in fake_server.calls()


@pytest.mark.parametrize(("size", "asked"), [(MULTIPART_THRESHOLD, None), (MULTIPART_THRESHOLD + 1, True)])
def test_parts_are_asked_for_where_they_are_worth_it(
    client: Client, fake_server: FakeServer, tmp_path: Path, *, size: int, asked: bool | None
) -> None:
    with (tmp_path / "sparse").open("wb") as sparse:
        sparse.truncate(size)
    fake_server.on("POST /v1/uploads", JSONResponse({"title": "No", "status": 422}, 422))
    with pytest.raises(ProblemError):
        client.upload(tmp_path / "sparse")
    assert json.loads(fake_server.recorded[0].body).get("multipart") is asked


def single(fake_server: FakeServer, link: str = "whole") -> dict[str, Any]:
    """How to send a file in one request."""
    headers = {"content-type": "text/csv", "if-none-match": "*"}
    url = f"{fake_server.url}/{link}?sig=1"
    return {"id": "upl_a", "method": "PUT", "url": url, "headers": headers, "expires_at": "-"}


def test_a_file_that_has_arrived_is_not_refused(client: Client, fake_server: FakeServer, file: Path) -> None:
    """S3 takes an upload once: when the answer to the first PUT was lost, the second is answered 412."""
    fake_server.on("POST /v1/uploads", JSONResponse(single(fake_server), 201))
    fake_server.on("PUT /whole", Response(status_code=503), Response(b"<Code>PreconditionFailed</Code>", 412))
    fake_server.on("GET /v1/uploads/upl_a", view(None))
    assert client.upload(file) == "upl_a"
    assert fake_server.calls().count("PUT /whole") == 2
    assert [
        recorded.headers["if-none-match"] for recorded in fake_server.recorded if recorded.call == "PUT /whole"
    ] == ["*", "*"]


def test_a_file_that_another_put_there_is_an_error(client: Client, fake_server: FakeServer, file: Path) -> None:
    fake_server.on("POST /v1/uploads", JSONResponse(single(fake_server), 201))
    fake_server.on("PUT /whole", Response(b"<Code>PreconditionFailed</Code>", 412))
    fake_server.on("GET /v1/uploads/upl_a", view(single(fake_server)))
    with pytest.raises(TransferFailed, match="PreconditionFailed"):
        client.upload(file)


def test_two_that_are_sent_at_once_are_sent_again(client: Client, fake_server: FakeServer, file: Path) -> None:
    fake_server.on("POST /v1/uploads", JSONResponse(single(fake_server), 201))
    fake_server.on("PUT /whole", Response(b"<Code>ConditionalRequestConflict</Code>", 409), Response())
    assert client.upload(file) == "upl_a"
    assert fake_server.calls().count("PUT /whole") == 2


@pytest.mark.parametrize("status", [400, 403])
def test_a_link_of_a_whole_file_is_asked_for_anew(
    client: Client, fake_server: FakeServer, file: Path, status: int
) -> None:
    fake_server.on("POST /v1/uploads", JSONResponse(single(fake_server), 201))
    fake_server.on("PUT /whole", Response(b"<Code>AccessDenied</Code>", status))
    fake_server.on("GET /v1/uploads/upl_a", view(single(fake_server, "fresh")))
    fake_server.on("PUT /fresh", Response())
    assert client.upload(file) == "upl_a"
    assert fake_server.calls()[-1] == "PUT /fresh"
