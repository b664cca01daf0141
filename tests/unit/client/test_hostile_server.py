"""Answers of a server that is hostile or broken: bounded, told in one line, and never more than text to a terminal."""

from __future__ import annotations

import gzip
import hashlib
import itertools
import json
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from starlette.responses import JSONResponse, RedirectResponse, Response

from coatcheck.cli import exit_codes
from coatcheck.client.exceptions import (
    CoatcheckError,
    ConnectionFailed,
    ProblemError,
    TransferFailed,
    UnexpectedResponseError,
)
from coatcheck.client.job import Job
from coatcheck.client.sync_client import Client
from tests.unit.client.raw_server import Behave, answers, endlessly, sends, sends_all, serving
from tests.unit.client.responses import view

if TYPE_CHECKING:
    from tests.unit.client.conftest import FakeServer, Run

EVIL = "\x1b[2J\x1b]0;owned\x07\u202e\u2066\r\n\x9b31m\ud800"
OK = b"HTTP/1.1 200 OK\r\n"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"
BODY = b"0123456789"


def job(**changed: Any) -> Job:
    entry = {"size": len(BODY), "content_type": "text/csv", "sha256": hashlib.sha256(BODY).hexdigest(), **changed}
    return Job({"id": "job_a", "status": "succeeded", "done": True, "result": entry})


@pytest.mark.parametrize(
    ("behave", "kind"),
    [
        (sends(b"just some words\r\n\r\n"), ConnectionFailed),
        (sends(b"\x00\xff" * 50_000), ConnectionFailed),
        (sends_all(lambda: itertools.chain([OK], (b"X-%d: y\r\n" % n for n in range(1_000_000)))), ConnectionFailed),
        (endlessly(OK + b"X: ", b"x" * 65_536), ConnectionFailed),
        (endlessly(CHUNKED, b"10000\r\n" + b" " * 65_536 + b"\r\n"), UnexpectedResponseError),
        (endlessly(OK + b"\r\n", b" " * 65_536), UnexpectedResponseError),
        (answers(gzip.compress(bytes(1 << 24)), "Content-Encoding: gzip"), UnexpectedResponseError),
        (answers(b"\xff\xfe{}"), UnexpectedResponseError),
        (answers(b"{}", length=1 << 60), ConnectionFailed),
        (answers(b"", "Location: http://[", status="302 Found"), UnexpectedResponseError),
        (answers(b"x" * (9 << 20), status="418 Teapot"), ProblemError),
        (answers(json.dumps({"title": EVIL}).encode(), status=f"400 {EVIL[:3]}"), CoatcheckError),
        (answers(b"<html>", f"Content-Type: {EVIL[:4]}"), CoatcheckError),
    ],
    ids=[
        "no http",
        "garbage",
        "a million headers",
        "an endless header",
        "endless chunks",
        "an endless body",
        "a bomb",
        "no utf-8",
        "too short",
        "a location that is none",
        "a large error",
        "an evil title",
        "an evil type",
    ],
)
def test_an_answer_that_is_no_answer(behave: Behave, kind: type[CoatcheckError]) -> None:
    with serving(behave) as url, Client(url, "k", retry_timeout=0) as client:
        with pytest.raises(kind) as raised:
            client.job("job_a")
        assert str(raised.value).isprintable()
        assert len(str(raised.value)) <= 2000


@pytest.mark.parametrize(
    ("behave", "line", "passed"),
    [
        (endlessly(OK + b"\r\n", BODY), "longer than 10 bytes, the size in the job", range(11)),
        (answers(BODY + b"x"), "has 11 bytes, not 10 as the job says", [0]),
        (answers(BODY[:5]), "has 5 bytes, not 10 as the job says", [0]),
        (answers(gzip.compress(bytes(1 << 24)), "Content-Encoding: gzip"), "not 10 as the job says", [0]),
        (sends(OK + b"Content-Encoding: gzip\r\n\r\n" + gzip.compress(bytes(1 << 24))), "with a Content-Encoding", [0]),
    ],
    ids=["endless", "announced longer", "announced shorter", "a bomb", "a bomb without its length"],
)
def test_a_download_gives_no_more_than_announced(behave: Behave, line: str, passed: Any) -> None:
    sink = BytesIO()
    with serving(behave) as url, Client(url, "k") as client, pytest.raises(TransferFailed, match=line):
        client.read_result(job(), sink)
    assert len(sink.getvalue()) in passed


@pytest.mark.parametrize("told", [None, "bytes 3-9/10", "bytes 5-9/11", "bytes */10", "5-9/10", "bytes 5-\u0669/10"])
def test_a_download_goes_on_where_it_was_asked_to(fake_server: FakeServer, told: str | None) -> None:
    headers = {} if told is None else {"Content-Range": told.encode().decode("latin-1")}
    first = Response(BODY[:5], headers={"Content-Length": "10"})
    fake_server.on("GET /v1/jobs/job_a/result", first, Response(BODY[5:], 206, headers))
    with (
        Client(fake_server.url, "k") as client,
        pytest.raises(TransferFailed, match=r"resume the download at byte 5|has 11 bytes"),
    ):
        client.read_result(job(), BytesIO())


def test_a_result_that_the_disk_has_no_room_for(run: Run, fake_server: FakeServer, stack_folder: Path) -> None:
    entry = {"size": 1 << 62, "content_type": "text/csv", "sha256": "ab"}
    fake_server.on("GET /v1/jobs/job_a", JSONResponse(view(result=entry)))
    assert run("result", "job_a", "-o", "out") == (2, "", "coatcheck: out: No space left on device\n")
    assert fake_server.calls() == ["GET /v1/jobs/job_a"]
    assert [file.name for file in stack_folder.iterdir()] == [".coatcheck"]


@pytest.mark.parametrize(
    "location",
    ["/v1/jobs/job_a/result", "file:///etc/passwd", "http://[", f"http://{'a' * 70}.invalid/", "//\u202e", "ftp://x"],
)
def test_a_result_that_is_nowhere(fake_server: FakeServer, location: str) -> None:
    fake_server.on("GET /v1/jobs/job_a/result", RedirectResponse(location, 303))
    with Client(fake_server.url, "k", retry_timeout=0) as client, pytest.raises(CoatcheckError) as raised:
        client.read_result(job(), BytesIO())
    assert str(raised.value).isprintable()
    assert 1 <= len(fake_server.recorded) <= 2
    assert all("authorization" not in recorded.headers for recorded in fake_server.recorded[1:])


def variants(document: dict[str, Any], name: str, *wrong: Any) -> list[Any]:
    """The document with each of these in place of one field."""
    return [document | {name: value} for value in wrong]


STORED = {"size": 1, "content_type": "text/csv", "sha256": "ab"}
WRONG_JOBS: list[Any] = [
    [],
    "job",
    {},
    *variants(view(), "id", None, 1, "", "job_a; rm -rf ~", f"job{EVIL}", "a" * 65, "../x", "job_a\n"),
    *variants(view(), "done", None, "yes", 1, []),
    *variants(view(), "status", ["x"], EVIL),
    *variants(view(), "progress", "x", [], {"fraction": "x"}, {"fraction": 1e308}, {"message": {}}),
    *variants(view(), "error", "x", [1], True),
    *variants(view(), "result", *variants(STORED, "size", -1, "1", 1.5, 10**30, None, True), "x", [], {}),
    *variants(view(), "artifacts", {}, [1], [STORED], [{**STORED, "name": 1}]),
    *variants(view(), "metadata", "x", [1]),
]


@pytest.mark.parametrize("document", WRONG_JOBS, ids=range(len(WRONG_JOBS)))
@pytest.mark.parametrize("argv", [("status", "job_a"), ("list",)], ids=["status", "list"])
def test_a_job_that_is_none(run: Run, fake_server: FakeServer, argv: tuple[str, ...], document: Any) -> None:
    fake_server.on("GET /v1/jobs/job_a", raw_json(document))
    fake_server.on("GET /v1/jobs", raw_json({"data": [document], "next": None}))
    code, out, err = run(*argv)
    assert (code, out, err.count("\n")) == (exit_codes.SERVER_ERROR, "", 1)
    assert err.endswith("which is not the answer of a Coatcheck server: check the URL\n")


ENDPOINTS = "/v1/webhook-endpoints"
TICKET = {"id": "upl_a", "method": "PUT", "url": "http://127.0.0.1:1/", "headers": {}}
PARTS = {"id": "upl_a", "part_size": 1, "next_parts": None, "parts": [{"number": 1, "url": "http://127.0.0.1:1/"}]}


@pytest.mark.parametrize(
    ("argv", "call", "documents"),
    [
        (("events", "job_a"), "GET /v1/jobs/job_a/events", [{"data": [1], "next": None}]),
        (("events", "job_a"), "GET /v1/jobs/job_a/events", [{"data": [{"error": "x"}], "next": None}]),
        (("events", "job_a"), "GET /v1/jobs/job_a/events", [{"data": {}, "next": None}, {"data": [], "next": 1}]),
        (("events", "job_a"), "GET /v1/jobs/job_a/events", [{"data": [], "next": "same"}]),
        (("types",), "GET /v1/job-types", [{"data": [{"name": 1}], "next": None}]),
        (("webhooks", "list"), f"GET {ENDPOINTS}", [{"data": [{"id": EVIL}], "next": None}]),
        (("webhooks", "show", "whe_a"), f"GET {ENDPOINTS}/whe_a", [{"id": "whe_a", "events": "x"}, {"events": []}]),
        (("webhooks", "create", "u"), f"POST {ENDPOINTS}", [{"id": "whe_a"}, {"id": "whe_a", "secret": EVIL}]),
        (("webhooks", "test", "whe_a"), f"POST {ENDPOINTS}/whe_a/test", [{"id": f"dlv_a{EVIL}"}]),
        (
            ("webhooks", "deliveries", "job_a"),
            "GET /v1/jobs/job_a/deliveries",
            [{"data": [{"id": "d", "attempts": 1}]}],
        ),
        (
            ("submit", "t", "--upload", "a=file"),
            "POST /v1/uploads",
            [
                *variants(TICKET, "method", "DELETE", "PUT\r\nX: y", 1),
                *variants(TICKET, "url", "file:///etc/passwd", "", 1, "http://x y"),
                *variants(TICKET, "headers", [], {"a": 1}, {"a": "b\r\nc: d"}, {"a\n": "b"}),
                *variants(PARTS, "part_size", 0, -1, "1", 1e6),
                *variants(PARTS, "parts", {}, [1], [{"number": 10**12, "url": "http://x"}]),
                PARTS | {"parts": [{"number": 2, "url": "http://127.0.0.1:1/"}]},
                PARTS | {"parts": [], "next_parts": 1},
                PARTS | {"id": EVIL},
            ],
        ),
    ],
)
def test_documents_that_are_none(
    run: Run, fake_server: FakeServer, stack_folder: Path, *, argv: tuple[str, ...], call: str, documents: list[Any]
) -> None:
    (stack_folder / "file").write_bytes(b"x")
    for document in documents:
        fake_server.on(call, raw_json(document))
        code, out, err = run(*argv)
        assert (code, out, err.count("\n")) == (exit_codes.SERVER_ERROR, "", 1 + err.count("--resume upl_a")), err
        assert err.replace("\n", "").isprintable()


@pytest.mark.parametrize("constant", ["NaN", "Infinity", "1e999"])
def test_json_stays_json(run: Run, fake_server: FakeServer, constant: str) -> None:
    text = json.dumps(view(attempt="here")).replace('"here"', constant)
    fake_server.on("GET /v1/jobs/job_a", Response(text, media_type="application/json"))
    assert run("status", "job_a", "--json")[:2] == (exit_codes.SERVER_ERROR, "")


def test_json_that_is_too_deep_to_show(run: Run, fake_server: FakeServer) -> None:
    text = json.dumps(view(metadata={"a": "here"})).replace('"here"', "[" * 900 + "]" * 900)
    fake_server.on("GET /v1/jobs/job_a", Response(text, media_type="application/json"))
    for argv in (("status", "job_a"), ("status", "job_a", "--json")):
        code, out, err = run(*argv)
        assert (code, bool(out)) in {(0, True), (exit_codes.SERVER_ERROR, False)}
        assert "Traceback" not in err


SAID = {"title": EVIL, "detail": EVIL, "errors": [{"pointer": EVIL, "detail": EVIL}]}
EVIL_JOB = view(
    "failed",
    type=EVIL,
    error=SAID,
    progress={"fraction": 0.5, "message": EVIL},
    metadata={EVIL: EVIL},
    replayed_from=EVIL,
    result={**STORED, "content_type": EVIL, "sha256": EVIL},
    artifacts=[{**STORED, "name": EVIL}],
    **dict.fromkeys(("created_at", "run_at", "attempt"), EVIL),
)
EVIL_ENDPOINT = {"id": "whe_a", "url": EVIL, "events": [EVIL], "description": EVIL, "disabled_reason": EVIL}
EVIL_DELIVERY = {"id": "dlv_a", "event": EVIL, "url": EVIL, "status": "pending", "next_attempt_at": EVIL}
ATTEMPT = dict.fromkeys(("at", "status_code", "error", "latency_ms"), EVIL)


def listed(*entries: Any) -> dict[str, Any]:
    return {"data": list(entries), "next": None}


@pytest.mark.parametrize(
    ("argv", "call", "document"),
    [
        (("status", "job_a"), "GET /v1/jobs/job_a", EVIL_JOB),
        (("result", "job_a"), "GET /v1/jobs/job_a", EVIL_JOB),
        (("cancel", "job_a"), "POST /v1/jobs/job_a/cancel", EVIL_JOB),
        (("submit", "t", "--wait"), "POST /v1/jobs", EVIL_JOB),
        (("list",), "GET /v1/jobs", listed(EVIL_JOB)),
        (("events", "job_a"), "GET /v1/jobs/job_a/events", listed({"at": EVIL, "type": EVIL, "error": SAID})),
        (("types",), "GET /v1/job-types", listed({"name": EVIL, "title": EVIL})),
        (("types", "t"), "GET /v1/job-types/t", {"name": EVIL, EVIL: EVIL}),
        (("webhooks", "list"), f"GET {ENDPOINTS}", listed(EVIL_ENDPOINT)),
        (("webhooks", "show", "whe_a"), f"GET {ENDPOINTS}/whe_a", EVIL_ENDPOINT),
        (
            ("webhooks", "deliveries", "job_a"),
            "GET /v1/jobs/job_a/deliveries",
            listed({**EVIL_DELIVERY, "attempts": [ATTEMPT]}),
        ),
    ],
)
@pytest.mark.parametrize("more", [(), ("--json",)], ids=["text", "json"])
def test_no_text_of_a_server_drives_a_terminal(
    run: Run, fake_server: FakeServer, *, argv: tuple[str, ...], more: tuple[str, ...], call: str, document: Any
) -> None:
    fake_server.on(call, raw_json(document))
    fake_server.on("GET /v1/jobs/job_a/result", raw_json(document))
    code, out, err = run(*argv, *more)
    assert code in {exit_codes.OK, exit_codes.UNSUCCESSFUL}
    for shown in (out, err):
        assert shown.replace("\n", "").isprintable()
    if more and out:
        shown_as_json = [json.loads(out)]
        assert shown_as_json in ([document], document.get("data"))


def raw_json(document: Any) -> Response:
    """With a lone surrogate, which starlette's own JSON cannot carry."""
    return Response(json.dumps(document), media_type="application/json")


def test_an_evil_error_answer(run: Run, fake_server: FakeServer) -> None:
    fake_server.on("POST /v1/jobs", raw_error(SAID), raw_error({"title": "x" * 5_000_000}))
    for _ in range(2):
        code, out, err = run("submit", "t")
        assert (code, out, err.count("\n")) == (exit_codes.INVALID, "", 1)
        assert err[:-1].isprintable()
        assert len(err) < 2100


def raw_error(document: Any) -> Response:
    return Response(json.dumps(document), 422, media_type="application/problem+json")
