"""Submitting: what is made, how often, what it costs, and what is refused."""

from __future__ import annotations

import hashlib
import json
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import httpx
import pytest

from coatcheck.core import due
from coatcheck.core.aws import s3, s3_keys
from coatcheck.core.clock import DAY, MINUTE, SECOND
from coatcheck.core.job import JobEvent
from coatcheck.core.lifecycle import Status
from coatcheck.core.pack import canonical_json
from tests.aws.service.running_service import Api, problem
from tests.transports import Fault, on, repeat, throttle

KEY = {"Idempotency-Key": "order-66"}


def test_a_submit_is_two_calls_once_limits_and_listeners_are_known(api: Api) -> None:
    views = [api.submit(), api.submit()]
    assert api.spy.operations == ["GetItem", "Query", "PutItem", "SendMessage", "PutItem", "SendMessage"]
    assert sorted(message.job for message in api.messages()) == sorted(view["id"] for view in views)


def test_what_the_answer_says(api: Api) -> None:
    answer = api.post(metadata={"order": "66"})
    view = answer.json()
    assert answer.status_code == 202
    assert answer.headers["location"] == view["urls"]["self"] == f"{api.url}/v1/jobs/{view['id']}"
    assert answer.headers["content-location"] == view["urls"]["self"]
    assert answer.headers["retry-after"] == "1"
    assert "idempotent-replayed" not in answer.headers
    assert (view["status"], view["done"], view["version"], view["attempt"]) == ("queued", False, 1, 0)
    assert (view["max_attempts"], view["metadata"], view["artifacts"]) == (5, {"order": "66"}, [])
    assert view["created_at"].endswith("Z")
    assert view["expires_at"] is None


@pytest.mark.parametrize("asked", ["low", "normal", "high"])
def test_a_priority_is_kept_and_shown(asked: str, api: Api) -> None:
    view = api.submit(priority=asked)
    assert view["priority"] == api.row(view["id"]).priority == asked


def test_a_job_that_waits_says_why_and_until_when(api: Api) -> None:
    assert (api.submit()["waiting_reason"], api.submit()["priority"]) == ("queue", "normal")
    view = api.submit(delay=60, queue_ttl=30)
    assert view["waiting_reason"] == "delay"
    assert view["created_at"] < view["start_window"]["earliest"] < view["start_window"]["latest"]


def test_a_priority_that_there_is_not_is_refused(api: Api) -> None:
    assert problem(api.post(priority="urgent"), 422, "invalid-request")["errors"][0]["pointer"] == "/priority"


def test_the_row_says_when_the_sweeper_has_to_look(api: Api) -> None:
    row = api.row(api.submit(timeout=7, max_attempts=2, retention=60)["id"])
    assert row.due_at is not None
    assert 30 * SECOND <= row.due_at - row.created_at <= 60 * SECOND
    assert (row.timeout, row.max_attempts, row.retention) == (7 * SECOND, 2, MINUTE)
    assert row.history == (JobEvent("job.queued", row.created_at),)
    assert row.start_at is None


def test_a_row_is_less_than_a_kilobyte(api: Api) -> None:
    api.submit(input={"seconds": 0.5, "steps": 3, "fail": "transient"}, metadata={"customer": "Müller & Söhne"})
    item = next(call.params["Item"] for call in api.spy.calls if call.operation == "PutItem")
    assert sum(len(name) + len(json.dumps(value, default=repr)) for name, value in item.items()) < 1024


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


@pytest.mark.parametrize("previous", [False, True], ids=["of today", "of the version before"])
def test_what_means_the_same_is_the_same(api: Api, *, previous: bool) -> None:
    first = {"type": "demo.sleep", "input": {"seconds": 0}, "delay": 600}
    made = api.http.post("/v1/jobs", headers=KEY, json=first).json()
    row = api.row(made["id"])
    assert row.digest == hashlib.sha256(canonical_json(first | {"delay": 600.0})).digest()
    if previous:
        # what it had no second digest of can be said again as it was said, or in the plain form
        api.overwrite(replace(row, meant=None))
    others = [first] if previous else [first, first | {"delay": 600.0, "run_at": None}]
    others += [] if previous else [first | {"input": {"seconds": 0.0, "steps": 10}, "metadata": {}, "webhook": None}]
    for body in others:
        again = api.http.post("/v1/jobs", headers=KEY, json=body)
        assert (again.status_code, again.json()) == (202, made)
        assert again.headers["idempotent-replayed"] == "true"
    problem(api.http.post("/v1/jobs", headers=KEY, json=first | {"delay": 601}), 422, "idempotency-key-reused")


def test_a_key_is_its_tenants_own(api: Api) -> None:
    mine = api.post(KEY).json()["id"]
    theirs = api.other.post("/v1/jobs", headers=KEY, json={"type": "demo.sleep", "input": {"seconds": 3}})
    assert theirs.status_code == 202
    assert theirs.json()["id"] != mine


def test_a_replayed_submit_of_a_finished_job_is_200(api: Api) -> None:
    job = api.settle(api.claim(api.post(KEY).json()["id"]))
    answer = api.post(KEY)
    assert answer.status_code == 200
    # RFC 9110: 8.7 tells of whom the content is, 10.2.2 gives `Location` no meaning in a 200
    assert answer.headers["content-location"] == answer.json()["urls"]["self"]
    assert "location" not in answer.headers
    looked = api.http.get(answer.headers["content-location"])
    assert (looked.json(), looked.headers["etag"]) == (answer.json(), answer.headers["etag"])
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
    assert api.spy.calls == []


def test_a_job_is_accepted_when_the_dispatch_fails(api: Api) -> None:
    api.spy.faults.append(Fault(throttle, on("SendMessage")))
    row = api.row(api.submit()["id"])
    assert row.status is Status.QUEUED
    assert row.due_at is not None
    assert api.messages() == []


def test_a_job_whose_row_was_written_twice_is_new_and_dispatched(api: Api) -> None:
    api.spy.faults.append(Fault(repeat, on("PutItem")))
    answer = api.post()
    assert answer.status_code == 202
    assert "idempotent-replayed" not in answer.headers
    assert len(api.messages()) == 1


def test_a_job_is_not_accepted_when_the_row_cannot_be_written(api: Api) -> None:
    api.spy.faults.append(Fault(throttle, on("PutItem")))
    answer = api.post()
    reply = problem(answer, 503, "unavailable")
    assert reply["retryable"] is True
    assert int(answer.headers["retry-after"]) > 0
    assert "SendMessage" not in api.spy.operations
    assert "dynamodb" not in answer.text.lower()


def test_a_large_input_lies_in_the_bucket(api: Api) -> None:
    sql = "SELECT " + ", ".join(str(n * 7919 % 10007) for n in range(500))
    row = api.row(api.submit(type="table.query", input={"sql": sql})["id"])
    assert row.input.inline is None
    text = api.running_service.worker.send(s3.get(api.running_service.settings.bucket, s3_keys.input_key(row))).read()
    assert json.loads(text) == {"sql": sql}
    assert api.spy.operations == ["GetItem", "Query", "PutObject", "PutItem", "SendMessage"]


def test_another_large_input_under_the_key_leaves_the_first_as_it_was(api: Api) -> None:
    first = "SELECT " + ", ".join(str(n * 7919 % 10007) for n in range(500))
    row = api.row(api.post(KEY, type="table.query", input={"sql": first}).json()["id"])
    problem(api.post(KEY, type="table.query", input={"sql": first + ", 1"}), 422, "idempotency-key-reused")
    text = api.running_service.worker.send(s3.get(api.running_service.settings.bucket, s3_keys.input_key(row))).read()
    assert json.loads(text) == {"sql": first}


def test_a_delayed_job_waits_in_its_queue(api: Api) -> None:
    view = api.submit(delay=90)
    row = api.row(view["id"])
    assert view["status"] == "scheduled"
    assert row.start_at == row.run_at == row.created_at + 90 * SECOND
    assert api.spy.calls[-1].params["DelaySeconds"] == 90
    assert row.history == (JobEvent("job.scheduled", row.created_at),)


def test_a_job_for_much_later_is_left_to_the_sweeper(api: Api) -> None:
    later = (datetime.now(UTC) + timedelta(days=20)).replace(microsecond=123_000)
    view = api.submit(run_at=later.isoformat())
    row = api.row(view["id"])
    assert api.spy.operations == ["GetItem", "Query", "PutItem"]
    assert row.due_at is not None
    assert row.start_at is not None
    assert row.start_at - due.LOOKAHEAD - MINUTE < row.due_at <= row.start_at - due.LOOKAHEAD
    assert view["run_at"] == later.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    looked_at = api.http.get(f"/v1/jobs/{view['id']}")
    assert looked_at.headers["retry-after"] == "60"


def test_a_time_that_has_passed_is_now(api: Api) -> None:
    view = api.submit(run_at="2020-01-01T00:00:00Z")
    assert (view["status"], view["run_at"]) == ("queued", "2020-01-01T00:00:00.000Z")


def test_queue_ttl_counts_from_when_the_job_could_start(api: Api) -> None:
    row = api.row(api.submit(delay=30, queue_ttl=60)["id"])
    assert row.queue_deadline == row.created_at + 90 * SECOND


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
    looks = api.spy.operations.count("BatchGetItem")
    assert 2 <= looks <= 9


def test_an_accepted_job_is_202_though_it_cannot_be_looked_at(api: Api) -> None:
    api.spy.faults.append(Fault(throttle, on("BatchGetItem")))
    answer = api.post({"Prefer": "wait=1"})
    assert answer.status_code == 202
    assert "BatchGetItem" in api.spy.operations


def test_an_input_that_would_not_last_until_the_start_is_refused(api: Api) -> None:
    sql = "SELECT " + ", ".join(str(n * 7919 % 10007) for n in range(500))
    reply = problem(api.post(type="table.query", input={"sql": sql}, delay=40 * DAY // SECOND), 422, "invalid-request")
    assert reply["errors"][0]["pointer"] == "/input"
