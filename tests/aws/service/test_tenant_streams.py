"""The events of all jobs of a tenant: as a stream, and as a list."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest
from httpx_sse import ServerSentEvent, connect_sse

from coatcheck.aws_transport.protocols import Transport
from coatcheck.core.settings import Settings
from coatcheck_service.front_door import LAMBDA
from tests.aws.service.retried_job import retried_job
from tests.aws.service.running_service import Api, clients_of, problem, run_service
from tests.transports import Fault, on, throttle
from tests.waiting import eventually

STREAM = {"Accept": "text/event-stream"}


def test_what_happens_from_now_on_to_jobs_old_and_new(api: Api) -> None:
    old = api.submit()["id"]
    api.finished()
    with _events(api) as events:
        assert next(events).event == "connected"
        job = api.claim(old)
        assert _told(next(events)) == (old, "evt_000002", "job.started")
        new = api.submit()["id"]
        assert _told(next(events)) == (new, "evt_000001", "job.queued")
        api.settle(job)
        assert _told(next(events)) == (old, "evt_000003", "job.succeeded")
        api.settle(api.claim(new))
        assert {_told(next(events)) for _ in range(2)} == {
            (new, "evt_000002", "job.started"),
            (new, "evt_000003", "job.succeeded"),
        }


def test_an_event_says_what_it_is_of(api: Api) -> None:
    with _events(api) as events:
        next(events)
        job_id = api.submit()["id"]
        event = next(events)
    listed = api.http.get(f"/v1/jobs/{job_id}/events").json()["data"][0]
    assert json.loads(event.data) == listed | {"job": job_id, "job_type": "demo.sleep", "cursor": event.id}


def test_the_ids_grow(api: Api) -> None:
    with _events(api) as events:
        ids = [next(events).id]
        for _ in range(3):
            api.finished()
            ids += [next(events).id for _ in range(3)]
    assert ids == sorted(ids)


def test_nothing_is_missed_between_two_streams(api: Api) -> None:
    with _events(api) as events:
        last = next(events).id
    jobs = [api.finished().id for _ in range(3)]
    with _events(api, last=last) as events:
        assert next(events).event == "connected"
        # what is told of the seconds before is no news here: no other job is the tenant's
        assert {_told(next(events))[:2] for _ in range(9)} == {
            (job, f"evt_{number:06d}") for job in jobs for number in (1, 2, 3)
        }
        later = api.submit()["id"]
        assert _told(next(events)) == (later, "evt_000001", "job.queued")


def test_what_left_the_row_meanwhile_is_told(api: Api) -> None:
    job_id = api.submit()["id"]
    with _events(api) as events:
        last = next(events).id
        retried_job(api, 14, job_id=job_id)
        told = [next(events) for _ in range(30)]
        assert [_told(event)[1] for event in told] == [f"evt_{number:06d}" for number in range(2, 32)]
    with _events(api, last=last) as events:
        next(events)
        assert {_told(next(events))[1] for _ in range(31)} == {f"evt_{number:06d}" for number in range(1, 32)}


def test_a_tenant_is_told_of_its_own(api: Api) -> None:
    with ExitStack() as stack:
        events = stack.enter_context(_events(api))
        next(events)
        theirs = {"type": "demo.sleep", "input": {"seconds": 0}}
        assert api.other.post("/v1/jobs", json=theirs).status_code == 202
        mine = api.submit()["id"]
        assert _told(next(events))[0] == mine
    assert api.other.get("/v1/events").json()["data"][0]["job"] != mine
    problem(api.anonymous.get("/v1/events", headers=STREAM), 401, "unauthenticated")


def test_all_who_follow_a_tenant_share_its_looks(api: Api) -> None:
    with ExitStack() as stack:
        streams = [stack.enter_context(_events(api)) for _ in range(4)]
        assert {next(events).event for events in streams} == {"connected"}
        api.spy.calls.clear()
        eventually(lambda: api.spy.operations.count("Query") == 3)
        job_id = api.submit()["id"]
        assert {_told(next(events))[0] for events in streams} == {job_id}
    # nobody follows: nothing is looked at
    eventually(lambda: not _reads_within(api, 1.5))


def test_a_stream_outlasts_an_aws_that_fails(api: Api) -> None:
    job_id = api.submit()["id"]
    with _events(api) as events:
        next(events)
        api.spy.calls.clear()
        api.spy.faults.append(Fault(throttle, on("Query", "BatchGetItem")))
        api.claim(job_id)
        eventually(lambda: api.spy.operations.count("Query") >= 2)
        api.spy.faults.clear()
        assert _told(next(events)) == (job_id, "evt_000002", "job.started")


@pytest.mark.parametrize("given", ["evt_000001", "evt_", "1793957400120", "evt_17939574001200"])
def test_a_position_that_is_none_is_refused(api: Api, given: str) -> None:
    headers = STREAM | {"Last-Event-ID": given}
    refused = problem(api.http.get("/v1/events", headers=headers), 422, "invalid-request")
    assert [flaw["pointer"] for flaw in refused["errors"]] == ["/Last-Event-ID"]
    refused = problem(api.http.get("/v1/events", params={"after": given}), 422, "invalid-request")
    assert [flaw["pointer"] for flaw in refused["errors"]] == ["/after"]


def test_the_list_has_the_events_of_the_newest_jobs(settings: Settings, aws: Transport, emulator_url: str) -> None:
    with run_service(settings, aws, emulator_url, front_door=LAMBDA) as running, clients_of(running) as api:
        job = api.finished()
        answer = api.http.get("/v1/events", headers=STREAM)
        assert answer.headers["event-stream"] == "unavailable"
        listed = answer.json()
        assert listed["next"] is None
        assert [(event["job"], event["id"]) for event in listed["data"]] == [
            (job.id, f"evt_{number:06d}") for number in (1, 2, 3)
        ]
        # a list goes back a little behind its cursor, as a stream does
        assert api.http.get("/v1/events", params={"after": listed["data"][-1]["cursor"]}).json() == listed
        assert api.http.get("/v1/events", params={"after": "evt_9999999999999"}).json()["data"] == []


def _reads_within(api: Api, seconds: float) -> bool:
    api.spy.calls.clear()
    time.sleep(seconds)
    return bool(api.spy.calls)


@contextmanager
def _events(api: Api, *, last: str | None = None) -> Iterator[Iterator[ServerSentEvent]]:
    headers = {} if last is None else {"Last-Event-ID": last}
    with connect_sse(api.http, "GET", "/v1/events", headers=headers) as source:
        assert source.response.status_code == 200, source.response.read()
        yield (event for event in source.iter_sse() if event.data)


def _told(event: ServerSentEvent) -> tuple[Any, Any, Any]:
    told = json.loads(event.data)
    return told["job"], told["id"], told["type"]
