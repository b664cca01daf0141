"""A job is followed by a stream of events, or by polling, and what a server sends as a stream is read with care."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.responses import JSONResponse, Response, StreamingResponse

from coatcheck.client.event_stream import MAX_EVENT_LENGTH, ServerSentEvent, read_events
from coatcheck.client.exceptions import ProblemError, UnexpectedResponseError
from coatcheck.client.sync_client import Client
from tests.unit.client.conftest import FakeServer, job_reply, problem

EVENTS = "GET /v1/jobs/job_a/events"
QUEUED, STARTED, SUCCEEDED = (
    {"id": f"evt_{number:06d}", "type": kind, "at": "2026-11-01T10:00:00Z", "attempt": 1, "error": None}
    for number, kind in enumerate(["job.queued", "job.started", "job.succeeded"], start=1)
)
HALF = {"fraction": 0.5, "message": "half way"}


@pytest.fixture
def client(fake_server: FakeServer) -> Iterator[Client]:
    with Client(fake_server.url, "key", retry_timeout=5) as client:
        yield client


def sent(*events: dict[str, Any], rest: str = "") -> Response:
    """A stream that ends after these events, and the rest."""
    blocks = [f"data: {json.dumps(event)}\nid: {event['id']}\n\n" for event in events]
    return Response("retry: 1000\n\n: ping\n\n" + "".join(blocks) + rest, media_type="text/event-stream")


def progress(document: object) -> str:
    return f"event: progress\ndata: {json.dumps(document)}\n\n"


def test_the_events_and_the_progress_until_the_job_is_done(client: Client, fake_server: FakeServer) -> None:
    fake_server.on(EVENTS, sent(QUEUED, STARTED, rest=progress(HALF) + f"data: {json.dumps(SUCCEEDED)}\nid: evt_3\n\n"))
    assert list(client.follow("job_a")) == [QUEUED, STARTED, {"type": "progress", **HALF}, SUCCEEDED]
    assert fake_server.calls() == [EVENTS]
    assert fake_server.recorded[0].headers["accept"] == "text/event-stream"
    assert "last-event-id" not in fake_server.recorded[0].headers


def test_a_stream_that_ends_is_resumed_after_the_last_whole_event(client: Client, fake_server: FakeServer) -> None:
    torn = f"data: {json.dumps(STARTED)}\nid: {STARTED['id']}\n"
    fake_server.on(EVENTS, sent(QUEUED, rest=progress(HALF) + torn), sent(STARTED, SUCCEEDED))
    assert [event["type"] for event in client.follow("job_a")] == [
        "job.queued",
        "progress",
        "job.started",
        "job.succeeded",
    ]
    assert [recorded.headers.get("last-event-id") for recorded in fake_server.recorded] == [None, "evt_000001"]


def test_a_server_that_has_no_more_says_so(client: Client, fake_server: FakeServer) -> None:
    unheard = {**SUCCEEDED, "type": "job.ended_in_a_new_way"}
    fake_server.on(EVENTS, sent(QUEUED, unheard), Response(status_code=204))
    assert list(client.follow("job_a")) == [QUEUED, unheard]


def _listed(*events: dict[str, Any]) -> Response:
    return JSONResponse({"data": events, "next": None}, headers={"Event-Stream": "unavailable"})


@pytest.mark.parametrize(
    "refused", [_listed, lambda: problem(429, "too-many-streams", "Too many")], ids=["json", "too many"]
)
def test_without_a_stream_the_job_is_polled(
    client: Client, fake_server: FakeServer, refused: Callable[[], Response]
) -> None:
    fake_server.on(EVENTS, sent(QUEUED), refused(), _listed(QUEUED, STARTED), _listed(QUEUED, STARTED, SUCCEEDED))
    fake_server.on(
        "GET /v1/jobs/job_a",
        job_reply("running", headers={"Retry-After": "0"}, version=2, progress=HALF),
        job_reply("running", headers={"Retry-After": "0"}, version=2, progress=HALF),
        job_reply("succeeded", version=3, progress={"fraction": 1.0}),
    )
    assert list(client.follow("job_a")) == [QUEUED, STARTED, {"type": "progress", **HALF}, SUCCEEDED]
    assert fake_server.calls().count(EVENTS) == 4


@pytest.mark.parametrize("status", [404, 410, 422])
def test_an_error_is_an_error(client: Client, fake_server: FakeServer, status: int) -> None:
    fake_server.on(EVENTS, problem(status, "code", "Title"))
    with pytest.raises(ProblemError) as raised:
        list(client.follow("job_a"))
    assert raised.value.status == status


@pytest.mark.parametrize(
    "rest",
    [
        "data: x\nid: 1\n\n",
        "data: [1]\nid: 1\n\n",
        "data: {}\n\n",
        "data: {}\nid: \n\n",
        "data: {}\nid: é\n\n",
        f"data: {{}}\nid: {'1' * 201}\n\n",
        'data: {"error": "x"}\nid: 1\n\n',
        progress([1]),
        progress({"fraction": 7}),
        f"data: {'x' * (MAX_EVENT_LENGTH + 1)}",
    ],
    ids=range(10),
)
def test_what_is_no_event_is_refused(client: Client, fake_server: FakeServer, rest: str) -> None:
    fake_server.on(EVENTS, sent(rest=rest))
    with pytest.raises(UnexpectedResponseError):
        list(client.follow("job_a"))


def test_kinds_of_events_that_are_not_known_are_passed_over(client: Client, fake_server: FakeServer) -> None:
    fake_server.on(EVENTS, sent(QUEUED, rest="event: news\ndata: x\n\n"), sent(SUCCEEDED))
    assert list(client.follow("job_a")) == [QUEUED, SUCCEEDED]
    assert fake_server.recorded[1].headers["last-event-id"] == "evt_000001"


def test_a_stream_is_read_as_it_comes(client: Client, fake_server: FakeServer) -> None:
    told = threading.Event()

    def slow() -> Iterator[bytes]:
        yield bytes(sent(QUEUED).body)
        assert told.wait(30)
        yield bytes(sent(SUCCEEDED).body)

    fake_server.on(EVENTS, StreamingResponse(slow(), media_type="text/event-stream"))
    followed = client.follow("job_a")
    assert next(followed) == QUEUED
    told.set()
    assert list(followed) == [SUCCEEDED]


TEXT = (
    ": comment\n\ndata: one\n\nevent: two\r\ndata: 2\r\ndata:  3\r\nid: a\r\n\r\n"
    "retry: 5\n\ndata\rid\r\rdata: é\nid: b\nid: c\nunknown: x\n\n\n\ndata: torn"
)
EXPECTED = [
    ServerSentEvent("message", "one", None),
    ServerSentEvent("two", "2\n 3", "a"),
    ServerSentEvent("message", "", ""),
    ServerSentEvent("message", "é", "c"),
]


@given(st.sets(st.integers(1, len(TEXT.encode()) - 1)))
def test_events_are_the_same_however_they_are_cut(cuts: set[int]) -> None:
    data, ends = TEXT.encode(), sorted(cuts)
    chunks = [data[start:end] for start, end in zip([0, *ends], [*ends, len(data)], strict=True)]
    assert list(read_events(chunks)) == EXPECTED


def test_an_event_without_end_is_not_held() -> None:
    def endless() -> Any:
        while True:
            yield b"data: " + b"x" * 1000 + b"\n"

    with pytest.raises(ValueError, match="too long"):
        list(read_events(endless()))
