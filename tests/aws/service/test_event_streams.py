"""A job's history as server-sent events: what is sent, what is resumed, when it ends, and what is refused."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from httpx_sse import ServerSentEvent, connect_sse

from bench.api_stalls import KEY, served
from coatcheck.aws_transport.protocols import Transport
from coatcheck.core.aws.dynamodb import transitions
from coatcheck.core.clock import system_clock
from coatcheck.core.job import Job, Progress
from coatcheck.core.settings import Settings
from coatcheck_service.front_door import LAMBDA
from tests.aws.service.retried_job import retried_job
from tests.aws.service.running_service import Api, clients_of, problem, run_service
from tests.transports import Fault, on, throttle
from tests.waiting import eventually

STREAM = {"Accept": "text/event-stream"}


def test_the_history_then_what_happens_until_the_job_is_done(api: Api) -> None:
    job_id = api.submit()["id"]
    with _events(api, job_id) as events:
        assert _next(events)["type"] == "job.queued"
        job = api.claim(job_id)
        assert _next(events) | {"at": ""} == {
            "id": "evt_000002",
            "type": "job.started",
            "at": "",
            "attempt": 1,
            "error": None,
        }
        api.settle(job)
        assert _next(events)["type"] == "job.succeeded"
        assert next(events, None) is None


def test_an_event_has_the_id_that_the_list_gives_it(api: Api) -> None:
    job_id = api.finished().id
    listed = api.http.get(f"/v1/jobs/{job_id}/events").json()["data"]
    with _events(api, job_id) as events:
        sent = list(events)
    assert [json.loads(event.data) for event in sent] == listed
    assert [(event.event, event.id) for event in sent] == [("message", event["id"]) for event in listed]


def test_progress_is_sent_without_an_id(api: Api) -> None:
    job = api.claim(api.submit()["id"])
    with _events(api, job.id) as events:
        assert [_next(events)["type"] for _ in range(2)] == ["job.queued", "job.started"]
        for fraction in (0.25, 0.5):
            job = _report(api, job, Progress(fraction, "half\nway"))
            event = next(events)
            assert (event.event, event.id) == ("progress", "evt_000002")
            assert json.loads(event.data) == {"fraction": fraction, "message": "half\nway"}
    with _events(api, job.id, last="evt_000002") as events:
        assert next(events).event == "progress"
        api.settle(job)
        assert [event.id for event in events] == ["evt_000003"]


def test_it_resumes_after_the_last_event(api: Api) -> None:
    job_id = api.finished().id
    for number in range(4):
        last = f"evt_{number:06d}" if number else None
        if number == 3:
            answer = api.http.get(f"/v1/jobs/{job_id}/events", headers=STREAM | {"Last-Event-ID": "evt_000003"})
            assert (answer.status_code, answer.content) == (204, b"")
            continue
        with _events(api, job_id, last=last) as events:
            assert [event.id for event in events] == [f"evt_{sent:06d}" for sent in range(number + 1, 4)]


@pytest.mark.parametrize("number", range(0, 31, 6))
def test_it_resumes_in_what_has_left_the_row(api: Api, number: int) -> None:
    job = retried_job(api, 14)
    listed = api.http.get(f"/v1/jobs/{job.id}/events").json()["data"]
    assert len(listed) == 31
    assert job.history_from > 1
    with _events(api, job.id, last=f"evt_{number:06d}" if number else None) as events:
        assert [json.loads(event.data) for event in events] == listed[number:]


@pytest.mark.parametrize(
    "last", ["evt_000004", "evt_000000", "evt_1", "evt_00000\u0661", "evt_000001-1", "job_1", "evt_000001, evt_000002"]
)
def test_an_id_of_no_event_is_refused(api: Api, last: str) -> None:
    job_id = api.finished().id
    answer = api.http.get(f"/v1/jobs/{job_id}/events", headers=httpx.Headers(STREAM | {"Last-Event-ID": last}, "utf-8"))
    refused = problem(answer, 422, "invalid-request")
    assert [flaw["pointer"] for flaw in refused["errors"]] == ["/Last-Event-ID"]


def test_a_stranger_sees_no_stream(api: Api) -> None:
    job_id = api.submit()["id"]
    problem(api.other.get(f"/v1/jobs/{job_id}/events", headers=STREAM), 404, "not-found")
    problem(api.anonymous.get(f"/v1/jobs/{job_id}/events", headers=STREAM), 401, "unauthenticated")


@pytest.mark.parametrize(
    ("accept", "media_type"),
    [
        ("text/event-stream", "text/event-stream"),
        ("TEXT/Event-Stream; q=0.9, */*; q=0.1", "text/event-stream"),
        ("application/json, text/event-stream", "text/event-stream"),
        ("application/json, text/event-stream;q=0.5", "application/json"),
        ("text/event-stream;q=0", "application/json"),
        ("text/event-stream;q=x", "application/json"),
        ("*/*", "application/json"),
        ("text/*", "application/json"),
        ("", "application/json"),
        (";q=" + "9" * 5000, "application/json"),
    ],
)
def test_it_streams_where_the_client_asks_for_it(api: Api, accept: str, media_type: str) -> None:
    answer = api.http.get(f"/v1/jobs/{api.finished().id}/events", headers={"Accept": accept})
    assert answer.status_code == 200
    assert answer.headers["content-type"].partition(";")[0] == media_type
    assert "event-stream" not in answer.headers


def test_head_is_answered_at_once(api: Api) -> None:
    answer = api.http.head(f"/v1/jobs/{api.submit()['id']}/events", headers=STREAM)
    assert (answer.status_code, answer.content) == (200, b"")
    assert answer.headers["content-type"].partition(";")[0] == "text/event-stream"


def test_options_names_the_methods(api: Api) -> None:
    answer = api.http.options(f"/v1/jobs/{api.submit()['id']}/events", headers=STREAM)
    problem(answer, 405, "method-not-allowed")
    assert answer.headers["allow"] == "GET, HEAD"


@pytest.mark.parametrize("door", ["lambda", "no streams"])
def test_where_nothing_streams_the_answer_is_json_and_says_so(
    settings: Settings, aws: Transport, emulator_url: str, door: str
) -> None:
    started = (
        run_service(settings, aws, emulator_url, front_door=LAMBDA)
        if door == "lambda"
        else run_service(settings.model_copy(update={"max_streams": 0}), aws, emulator_url)
    )
    with started as running, clients_of(running) as api:
        answer = api.http.get(f"/v1/jobs/{api.submit()['id']}/events", headers=STREAM)
        assert answer.headers["content-type"] == "application/json"
        assert answer.headers["event-stream"] == "unavailable"
        assert [event["type"] for event in answer.json()["data"]] == ["job.queued"]


def test_an_answer_ends_after_its_time(settings: Settings, aws: Transport, emulator_url: str) -> None:
    changed = settings.model_copy(update={"longest_stream": 1})
    with run_service(changed, aws, emulator_url) as running, clients_of(running) as api:
        began = time.monotonic()
        answer = api.http.get(f"/v1/jobs/{api.submit()['id']}/events", headers=STREAM)
        assert 0.9 < time.monotonic() - began < 20
        assert answer.text.startswith("retry: 1000\n\n")
        assert answer.headers["x-accel-buffering"] == "no"


def test_beyond_the_cap_a_stream_is_refused_until_another_ends(
    settings: Settings, aws: Transport, emulator_url: str
) -> None:
    changed = settings.model_copy(update={"max_streams": 4})
    with run_service(changed, aws, emulator_url) as running, clients_of(running) as api, ExitStack() as stack:
        job_id = api.submit()["id"]
        open_streams = [stack.enter_context(ExitStack()) for _ in range(2)]
        # an iterator of events closes its connection when nothing refers to it
        followed = [one.enter_context(_events(api, job_id)) for one in open_streams]
        assert [_next(events)["type"] for events in followed] == ["job.queued"] * 2
        refused = api.http.get(f"/v1/jobs/{job_id}/events", headers=STREAM)
        problem(refused, 429, "too-many-streams")
        assert int(refused.headers["retry-after"]) > 0
        theirs = api.other.post("/v1/jobs", json={"type": "demo.sleep", "input": {"seconds": 0}}).json()["id"]
        with api.other.stream("GET", f"/v1/jobs/{theirs}/events", headers=STREAM) as answer:
            assert answer.status_code == 200
        # who goes away makes room, though nothing is sent to find out
        open_streams[0].close()
        eventually(lambda: _status(api, job_id) == 200)


def test_all_who_follow_a_job_share_its_looks(api: Api) -> None:
    job_id = api.submit()["id"]
    with ExitStack() as stack:
        streams = [stack.enter_context(_events(api, job_id)) for _ in range(5)]
        for events in streams:
            assert _next(events)["type"] == "job.queued"
        api.spy.calls.clear()
        time.sleep(1)
        looks = api.spy.operations.count("BatchGetItem")
        assert 0 < looks <= 10
        assert set(api.spy.operations) == {"BatchGetItem"}
        api.settle(api.claim(job_id))
        for events in streams:
            assert [event.id for event in events] == ["evt_000002", "evt_000003"]
    before = api.spy.operations.count("BatchGetItem")
    time.sleep(0.5)
    assert api.spy.operations.count("BatchGetItem") == before


def test_a_stream_outlasts_an_aws_that_fails(api: Api) -> None:
    job_id = api.submit()["id"]
    with _events(api, job_id) as events, ThreadPoolExecutor(1) as pool:
        assert _next(events)["type"] == "job.queued"
        api.spy.calls.clear()
        api.spy.faults.append(Fault(throttle, on("BatchGetItem")))
        waiting = pool.submit(next, events)
        eventually(lambda: api.spy.operations.count("BatchGetItem") >= 3)
        api.spy.faults.clear()
        api.claim(job_id)
        assert waiting.result(30).id == "evt_000002"


def _status(api: Api, job_id: str) -> int:
    with api.http.stream("GET", f"/v1/jobs/{job_id}/events", headers=STREAM) as answer:
        return answer.status_code


@contextmanager
def _events(api: Api, job_id: str, *, last: str | None = None) -> Iterator[Iterator[ServerSentEvent]]:
    """The events of a stream; comments, and what only says when to connect again, are left out."""
    headers = {} if last is None else {"Last-Event-ID": last}
    with connect_sse(api.http, "GET", f"/v1/jobs/{job_id}/events", headers=headers) as source:
        assert source.response.status_code == 200, source.response.read()
        yield (event for event in source.iter_sse() if event.data)


def _next(events: Iterator[ServerSentEvent]) -> dict[str, Any]:
    event: dict[str, Any] = json.loads(next(events).data)
    return event


def _report(api: Api, job: Job, progress: Progress) -> Job:
    table = api.running_service.settings.table
    renewed = api.running_service.worker.send(
        transitions.renew_lease(table, job, now=system_clock(), lease=60_000, progress=progress)
    )
    assert isinstance(renewed, Job)
    return renewed


def test_a_stream_ends_when_the_server_is_told_to_stop(settings: Settings, emulator_url: str, tmp_path: Path) -> None:
    headers = {"Authorization": f"Bearer {KEY}"}
    with httpx.Client(headers=headers, trust_env=False, timeout=60) as http, ExitStack() as stack:
        with served(settings, emulator_url, tmp_path) as url:
            job = (
                http.post(f"{url}/v1/jobs", json={"type": "demo.sleep", "input": {"seconds": 0}})
                .raise_for_status()
                .json()
            )
            events = stack.enter_context(connect_sse(http, "GET", job["urls"]["events"])).iter_sse()
            assert next(events).retry == 1000
            assert _next(events)["type"] == "job.queued"
            began = time.monotonic()
        assert time.monotonic() - began < settings.longest_stream / 2
        assert list(events) == []


def test_an_answer_ends_though_news_never_end(settings: Settings, aws: Transport, emulator_url: str) -> None:
    changed = settings.model_copy(update={"longest_stream": 1})
    with run_service(changed, aws, emulator_url) as running, clients_of(running) as api:
        job = api.claim(api.submit()["id"])
        began = time.monotonic()
        with _events(api, job.id) as events:
            for event in events:
                fraction = json.loads(event.data).get("fraction", 0.0)
                job = _report(api, job, Progress((fraction + 0.001) % 1))
        assert time.monotonic() - began < 15
