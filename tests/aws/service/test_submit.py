"""Submitting: what is made, how often, what it costs, and what is refused."""

from __future__ import annotations

import json
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from coatcheck import blobs
from coatcheck.clock import DAY, MINUTE, SECOND
from coatcheck.lifecycle import Status
from coatcheck.messages import JobMessage
from coatcheck.record import Event
from tests.aws.service.stage import Api, problem

JOB = {"type": "demo.sleep", "input": {"seconds": 0}}
KEY = {"Idempotency-Key": "order-66"}


def test_a_submit_is_two_calls(api: Api) -> None:
    view = api.submit()
    assert api.spy.operations == ["PutItem", "SendMessage"]
    assert api.messages() == [JobMessage(tenant=api.tenant, job=view["id"])]


def test_what_the_answer_says(api: Api) -> None:
    answer = api.post(metadata={"order": "66"})
    view = answer.json()
    assert answer.status_code == 202
    assert answer.headers["location"] == view["urls"]["self"] == f"{api.url}/v1/jobs/{view['id']}"
    assert answer.headers["retry-after"] == "1"
    assert "idempotent-replayed" not in answer.headers
    assert (view["status"], view["done"], view["version"], view["attempt"]) == ("queued", False, 1, 0)
    assert (view["max_attempts"], view["metadata"], view["artifacts"]) == (5, {"order": "66"}, [])
    assert view["created_at"].endswith("Z")
    assert view["expires_at"] is None


def test_the_row_says_when_the_sweeper_has_to_look(api: Api) -> None:
    row = api.row(api.submit(timeout=7, max_attempts=2, retention=60)["id"])
    assert row.due_at is not None
    assert 30 * SECOND <= row.due_at - row.created_at <= 60 * SECOND
    assert (row.timeout, row.max_attempts, row.retention) == (7 * SECOND, 2, MINUTE)
    assert row.history == (Event("job.queued", row.created_at),)
    assert row.start_at is None


def test_a_row_is_less_than_a_kilobyte(api: Api) -> None:
    api.submit(input={"seconds": 0.5, "steps": 3, "fail": "transient"}, metadata={"customer": "Müller & Söhne"})
    item = api.spy.sent[0].params["Item"]
    assert sum(len(name) + len(json.dumps(value, default=repr)) for name, value in item.items()) < 1024


@pytest.mark.parametrize("host", ["x y", "[", "é", "a" * 5000, "x/../y", "", "evil.example:99999999"])
def test_a_strange_host_is_no_error_of_ours(api: Api, host: str) -> None:
    for method, path in (("GET", "/v1/jobs/job_none"), ("POST", "/v1/jobs"), ("GET", "/docs")):
        answer = api.http.request(method, path, json=JOB, headers={b"Host": host.encode("latin-1")})
        assert answer.status_code < 500, answer.text


def test_many_submits_under_one_key_are_one_job(api: Api) -> None:
    def submit(_: int) -> httpx.Response:
        return api.post(KEY)

    with ThreadPoolExecutor(40) as pool:
        answers = list(pool.map(submit, range(200)))
    assert {answer.status_code for answer in answers} == {202}
    assert len({answer.json()["id"] for answer in answers}) == 1
    assert len(api.http.get("/v1/jobs").json()["data"]) == 1
    assert sum("idempotent-replayed" not in answer.headers for answer in answers) >= 1
    assert sum(answer.headers.get("idempotent-replayed") == "true" for answer in answers) >= 150
    problem(api.post(KEY, input={"seconds": 1}), 422, "idempotency-key-reused")


def test_the_same_body_is_the_same_however_it_is_written(api: Api) -> None:
    first = api.http.post("/v1/jobs", headers=KEY, json={"type": "demo.sleep", "input": {"seconds": 0, "steps": 2}})
    text = b'{ "input" : {"steps":2, "seconds":0},\n "type":"demo.sleep"}'
    again = api.http.post("/v1/jobs", headers=KEY | {"Content-Type": "application/json"}, content=text)
    assert again.json() == first.json()
    assert again.headers["idempotent-replayed"] == "true"


def test_a_key_is_its_tenants_own(api: Api) -> None:
    mine = api.post(KEY).json()["id"]
    theirs = api.other.post("/v1/jobs", headers=KEY, json={"type": "demo.sleep", "input": {"seconds": 3}})
    assert theirs.status_code == 202
    assert theirs.json()["id"] != mine


def test_a_replayed_submit_of_a_finished_job_is_200(api: Api) -> None:
    job = api.settle(api.claim(api.post(KEY).json()["id"]))
    answer = api.post(KEY)
    assert answer.status_code == 200
    assert answer.json()["id"] == job.id
    assert "retry-after" not in answer.headers


def test_a_key_can_be_used_again_when_its_job_is_gone(api: Api) -> None:
    job = api.settle(api.claim(api.post(KEY).json()["id"]))
    assert api.http.delete(f"/v1/jobs/{job.id}").status_code == 204
    answer = api.post(KEY, input={"seconds": 1})
    assert answer.status_code == 202
    assert "idempotent-replayed" not in answer.headers
    assert answer.json()["version"] == 1


@pytest.mark.parametrize("key", [b"", b"a b", b"x" * 256, "é".encode(), b"a\tb"])
def test_a_bad_key_is_refused(api: Api, key: bytes) -> None:
    body = {"type": "demo.sleep", "input": {"seconds": 0}}
    problem(api.http.post("/v1/jobs", headers={b"Idempotency-Key": key}, json=body), 422, "invalid-request")
    assert api.spy.sent == []


def test_a_job_is_accepted_when_the_dispatch_fails(api: Api) -> None:
    api.spy.breaks.add("SendMessage")
    row = api.row(api.submit()["id"])
    assert row.status is Status.QUEUED
    assert row.due_at is not None
    assert api.messages() == []


def test_a_job_whose_row_was_written_twice_is_new_and_dispatched(api: Api) -> None:
    api.spy.repeats.add("PutItem")
    answer = api.post()
    assert answer.status_code == 202
    assert "idempotent-replayed" not in answer.headers
    assert len(api.messages()) == 1


def test_a_job_is_not_accepted_when_the_row_cannot_be_written(api: Api) -> None:
    api.spy.breaks.add("PutItem")
    answer = api.post()
    told = problem(answer, 503, "unavailable")
    assert told["retryable"] is True
    assert int(answer.headers["retry-after"]) > 0
    assert "SendMessage" not in api.spy.operations
    assert "dynamodb" not in answer.text.lower()


def test_a_large_input_lies_in_the_bucket(api: Api) -> None:
    sql = "SELECT " + ", ".join(str(n * 7919 % 10007) for n in range(500))
    row = api.row(api.submit(type="table.query", input={"sql": sql})["id"])
    assert row.input.inline is None
    text = api.stage.worker.send(blobs.get(api.stage.deployment.bucket, blobs.input_key(row))).read()
    assert json.loads(text) == {"sql": sql}
    assert api.spy.operations == ["PutObject", "PutItem", "SendMessage"]


def test_another_large_input_under_the_key_leaves_the_first_as_it_was(api: Api) -> None:
    first = "SELECT " + ", ".join(str(n * 7919 % 10007) for n in range(500))
    row = api.row(api.post(KEY, type="table.query", input={"sql": first}).json()["id"])
    problem(api.post(KEY, type="table.query", input={"sql": first + ", 1"}), 422, "idempotency-key-reused")
    text = api.stage.worker.send(blobs.get(api.stage.deployment.bucket, blobs.input_key(row))).read()
    assert json.loads(text) == {"sql": first}


def test_a_delayed_job_waits_in_its_queue(api: Api) -> None:
    view = api.submit(delay=90)
    row = api.row(view["id"])
    assert view["status"] == "scheduled"
    assert row.start_at == row.run_at == row.created_at + 90 * SECOND
    assert api.spy.sent[-1].params["DelaySeconds"] == 90
    assert row.history == (Event("job.scheduled", row.created_at),)


def test_a_job_for_much_later_is_left_to_the_sweeper(api: Api) -> None:
    later = (datetime.now(UTC) + timedelta(days=20)).replace(microsecond=123_000)
    view = api.submit(run_at=later.isoformat())
    row = api.row(view["id"])
    assert api.spy.operations == ["PutItem"]
    assert row.due_at is not None
    assert row.start_at is not None
    assert row.start_at - 11 * MINUTE < row.due_at <= row.start_at - 10 * MINUTE
    assert view["run_at"] == later.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    looked_at = api.http.get(f"/v1/jobs/{view['id']}")
    assert looked_at.headers["retry-after"] == "60"


def test_a_time_that_has_passed_is_now(api: Api) -> None:
    view = api.submit(run_at="2020-01-01T00:00:00Z")
    assert (view["status"], view["run_at"]) == ("queued", "2020-01-01T00:00:00.000Z")


def test_queue_ttl_counts_from_when_the_job_could_start(api: Api) -> None:
    row = api.row(api.submit(delay=30, queue_ttl=60)["id"])
    assert row.queue_deadline == row.created_at + 90 * SECOND


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"input": {"seconds": "5"}}, "/input/seconds"),
    ({"input": {"seconds": -1}}, "/input/seconds"),
    ({"input": {"seconds": 1, "moon": 1}}, "/input/moon"),
    ({"input": {}}, "/input/seconds"),
    ({"input": None}, "/input"),
    ({"input": [1]}, "/input"),
    ({"type": "demo.snooze"}, "/type"),
    ({"type": 5}, "/type"),
    ({"type": ""}, "/type"),
    ({"colour": "red"}, "/colour"),
    ({"timeout": 7201}, "/timeout"),
    ({"timeout": 0}, "/timeout"),
    ({"timeout": True}, "/timeout"),
    ({"max_attempts": 6}, "/max_attempts"),
    ({"max_attempts": 0}, "/max_attempts"),
    ({"max_attempts": 1.5}, "/max_attempts"),
    ({"retention": 31 * 86_400}, "/retention"),
    ({"retention": 0}, "/retention"),
    ({"retention": 10**30}, "/retention"),
    ({"metadata": {str(n): "" for n in range(17)}}, "/metadata"),
    ({"metadata": {"": "x"}}, "/metadata/"),
    ({"metadata": {"k" * 41: "x"}}, f"/metadata/{'k' * 41}"),
    ({"metadata": {"k": "x" * 501}}, "/metadata/k"),
    ({"metadata": {"a/b~c": 1}}, "/metadata/a~1b~0c"),
    ({"delay": -1}, "/delay"),
    ({"delay": 366 * 86_400 + 1}, "/delay"),
    ({"delay": 5, "run_at": "2030-01-01T00:00:00Z"}, "/delay"),
    ({"run_at": "2099-01-01T00:00:00Z"}, "/run_at"),
    ({"run_at": "2030-01-01T00:00:00"}, "/run_at"),
    ({"run_at": "2030-02-30T00:00:00Z"}, "/run_at"),
    ({"run_at": "1700000000"}, "/run_at"),
    ({"run_at": 1700000000}, "/run_at"),
    ({"queue_ttl": 0}, "/queue_ttl"),
    ({"webhook": {"url": "https://example.com/hook"}}, "/webhook"),
]


@pytest.mark.parametrize(("body", "pointer"), REFUSED, ids=[json.dumps(body)[:50] for body, _ in REFUSED])
def test_what_does_not_fit_is_refused_with_its_place(api: Api, body: dict[str, Any], pointer: str) -> None:
    told = problem(api.post(**body), 422, "invalid-request")
    assert pointer in [flaw["pointer"] for flaw in told["errors"]]
    assert api.spy.sent == []


def test_an_error_does_not_repeat_what_was_sent(api: Api) -> None:
    answer = api.post(input={"seconds": "my secret"}, metadata={"k": "my secret" * 100})
    problem(answer, 422, "invalid-request")
    assert "secret" not in answer.text


HOSTILE: dict[str, tuple[bytes, int]] = {
    "nothing": (b"", 400),
    "a word": (b"hello", 400),
    "cut off": (b'{"type": "demo.sleep"', 400),
    "a list": (b"[]", 422),
    "a text": (b'"demo.sleep"', 422),
    "null": (b"null", 422),
    "deep lists": (b'{"type":"demo.sleep","input":' + b"[" * 100_000, 400),
    "deep lists, closed": (b'{"type":"demo.sleep","input":' + b"[" * 100_000 + b"]" * 100_000 + b"}", 400),
    "deep objects": (b'{"input":' * 100_000, 400),
    "a lone surrogate": (b'{"type":"\\ud800","input":{}}', 400),
    "a lone surrogate as a name": (b'{"type":"demo.sleep","input":{"\\udfff":1}}', 400),
    "NaN": (b'{"type":"demo.sleep","input":{"seconds":NaN}}', 400),
    "NaN in labels": (b'{"type":"demo.sleep","input":{"seconds":0},"delay":NaN}', 422),
    "Infinity": (b'{"type":"demo.sleep","input":{"seconds":Infinity}}', 400),
    "1e999": (b'{"type":"demo.sleep","input":{"seconds":1e999}}', 400),
    "minus 1e999": (b'{"type":"demo.sleep","input":{"seconds":0},"delay":-1e999}', 422),
    "a huge integer": (b'{"type":"demo.sleep","input":{"seconds":' + b"9" * 400 + b"}}", 400),
    "a monstrous integer": (b'{"type":"demo.sleep","input":{"seconds":' + b"9" * 100_000 + b"}}", 400),
    "a huge retention": (b'{"type":"demo.sleep","input":{"seconds":0},"retention":' + b"9" * 4000 + b"}", 400),
    "a doubled name": (b'{"type":"demo.sleep","type":"demo.sleep","input":{"seconds":0}}', 400),
    "a doubled name inside": (b'{"type":"demo.sleep","input":{"seconds":0,"seconds":0}}', 400),
    "a byte order mark": (b'\xef\xbb\xbf{"type":"demo.sleep","input":{"seconds":0}}', 400),
    "UTF-16": ('{"type":"demo.sleep","input":{"seconds":0}}'.encode("utf-16"), 400),
    "not UTF-8": (b'{"type":"demo.sleep","input":{"seconds":0},"metadata":{"k":"\xff"}}', 400),
    "two documents": (b'{"type":"demo.sleep","input":{"seconds":0}}{}', 400),
    "a comment": (b'{"type":"demo.sleep" /* x */,"input":{"seconds":0}}', 400),
    "a long name": (b'{"' + b"k" * 1_000_000 + b'":1}', 422),
    "many unknown names": (b"{" + b",".join(b'"k%d":1' % n for n in range(50_000)) + b"}", 422),
    "NUL bytes": (b"\0" * 1000, 400),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_bodies_are_problems(api: Api, name: str) -> None:
    body, status = HOSTILE[name]
    answer = api.http.post("/v1/jobs", content=body, headers={"Content-Type": "application/json"})
    problem(answer, status, "malformed-json" if status == 400 else "invalid-request")
    assert len(answer.content) < 20_000
    assert api.spy.sent == []


def test_a_body_that_is_too_large_is_413(api: Api) -> None:
    body = b'{"type":"demo.sleep","input":"' + b"x" * 20_000_000 + b'"}'
    headers = {"Content-Type": "application/json"}
    problem(api.http.post("/v1/jobs", content=body, headers=headers), 413, "payload-too-large")
    pieces = (body[at : at + 65536] for at in range(0, len(body), 65536))
    problem(api.http.post("/v1/jobs", content=pieces, headers=headers), 413, "payload-too-large")


@pytest.mark.parametrize(
    "headers",
    [
        {"Content-Type": "text/plain"},
        {"Content-Type": "application/json; charset=latin-1"},
        {"Content-Type": "application/json", "Content-Encoding": "gzip"},
        {"Content-Type": "application/merge-patch+json"},
        {"Content-Type": ""},
    ],
)
def test_other_formats_are_415(api: Api, headers: dict[str, str]) -> None:
    body = b'{"type":"demo.sleep","input":{"seconds":0}}'
    problem(api.http.post("/v1/jobs", content=body, headers=headers), 415, "unsupported-media-type")


def test_a_waiting_submit_answers_when_the_job_is_done(api: Api) -> None:
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(api.post, {"Prefer": "wait=20"} | KEY)
        job = None
        deadline = time.monotonic() + 10
        while job is None and time.monotonic() < deadline:
            job = next(iter(api.messages()), None)
        assert job is not None
        api.settle(api.claim(job.job))
        answer = waiting.result(15)
    assert answer.status_code == 200
    assert answer.json()["status"] == "succeeded"
    assert answer.headers["preference-applied"] == "wait=20"


def test_a_wait_that_is_over_is_202(api: Api) -> None:
    began = time.monotonic()
    answer = api.post({"Prefer": "respond-async, wait=1"})
    assert 1 <= time.monotonic() - began < 5
    assert answer.status_code == 202
    assert answer.headers["preference-applied"] == "wait=1"
    looks = api.spy.operations.count("GetItem")
    assert 2 <= looks <= 6


def test_an_accepted_job_is_202_though_it_cannot_be_looked_at(api: Api) -> None:
    api.spy.breaks.add("GetItem")
    answer = api.post({"Prefer": "wait=5"})
    assert answer.status_code == 202
    assert api.spy.operations.count("GetItem") == 1


def test_an_input_that_would_not_last_until_the_start_is_refused(api: Api) -> None:
    sql = "SELECT " + ", ".join(str(n * 7919 % 10007) for n in range(500))
    told = problem(api.post(type="table.query", input={"sql": sql}, delay=40 * DAY // SECOND), 422, "invalid-request")
    assert told["errors"][0]["pointer"] == "/input"
