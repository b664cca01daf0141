from __future__ import annotations

import json
from dataclasses import fields
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coatcheck.cli import display
from coatcheck.client import operations, responses
from coatcheck.client.exceptions import (
    ConnectionFailed,
    NotFinished,
    ProblemError,
    TransferFailed,
    UnexpectedResponseError,
    describe,
)
from coatcheck.client.job import Job, StoredFile
from coatcheck.client.responses import ListPage, Response, UploadStatus, UploadTicket
from coatcheck.core.api import models, webhook_models

VIEW = {"id": "job_a", "status": "running", "done": False}


def answer(status: int = 200, body: Any = VIEW, **headers: str) -> Response:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return Response("http://server", status, {k.replace("_", "-"): v for k, v in headers.items()}, raw)


def test_submit_sends_what_was_given_under_its_key() -> None:
    request = operations.submit({"type": "t", "input": {}, "delay": None, "metadata": {"a": "b"}}, "key-1")
    assert (request.method, request.path) == ("POST", "/v1/jobs")
    assert request.headers == {"Idempotency-Key": "key-1", "Content-Type": "application/json"}
    assert json.loads(request.body or b"") == {"type": "t", "input": {}, "metadata": {"a": "b"}}


@pytest.mark.parametrize("key", ["", "a b", "a\nb", "ключ", "a" * 256, "a\x7f"])
def test_a_key_that_no_header_can_carry(key: str) -> None:
    with pytest.raises(ValueError, match="1 to 255 visible ASCII"):
        operations.submit({}, key)


def test_an_input_that_is_no_json() -> None:
    with pytest.raises(ValueError, match="Out of range"):
        operations.submit({"input": float("nan")}, "k")


@pytest.mark.parametrize(
    ("request_", "expected"),
    [
        (operations.job("job_a"), "GET /v1/jobs/job_a"),
        (operations.cancel("job_a"), "POST /v1/jobs/job_a/cancel"),
        (operations.replay("job_a"), "POST /v1/jobs/job_a/replay"),
        (operations.delete("job_a"), "DELETE /v1/jobs/job_a"),
        (operations.result("job_a"), "GET /v1/jobs/job_a/result"),
        (operations.result("job_a", "a b/c"), "GET /v1/jobs/job_a/result/a%20b%2Fc"),
        (operations.result_link("job_a"), "GET /v1/jobs/job_a/result"),
        (operations.job_type("table.query"), "GET /v1/job-types/table.query"),
        (operations.job("../x?y#z"), "GET /v1/jobs/..%2Fx%3Fy%23z"),
        (operations.page("event", operations.events_path("job_a"), {}), "GET /v1/jobs/job_a/events"),
        (operations.create_upload("f", "text/csv", 1, "00"), "POST /v1/uploads"),
        (operations.upload("../x"), "GET /v1/uploads/..%2Fx"),
        (operations.upload_parts("upl_a", 100), "GET /v1/uploads/upl_a/parts"),
        (operations.complete_upload("upl_a"), "POST /v1/uploads/upl_a/complete"),
        (operations.create_endpoint({}), "POST /v1/webhook-endpoints"),
        (operations.endpoint("whe_a"), "GET /v1/webhook-endpoints/whe_a"),
        (operations.update_endpoint("whe_a", {}), "PATCH /v1/webhook-endpoints/whe_a"),
        (operations.delete_endpoint("../x"), "DELETE /v1/webhook-endpoints/..%2Fx"),
        (operations.rotate_secret("whe_jobs"), "POST /v1/webhook-endpoints/whe_jobs/rotate-secret"),
        (operations.send_test("whe_a"), "POST /v1/webhook-endpoints/whe_a/test"),
        (
            operations.page("delivery", operations.deliveries_path("whe_a"), {}),
            "GET /v1/webhook-endpoints/whe_a/deliveries",
        ),
        (operations.page("delivery", operations.deliveries_path("job_a"), {}), "GET /v1/jobs/job_a/deliveries"),
        (operations.resend("job_a", "dlv/a"), "POST /v1/jobs/job_a/deliveries/dlv%2Fa/resend"),
        (operations.resend("whe_a", "dlv_a"), "POST /v1/webhook-endpoints/whe_a/deliveries/dlv_a/resend"),
    ],
)
def test_where_calls_go(request_: operations.Request[Any], expected: str) -> None:
    assert f"{request_.method} {request_.path}" == expected


def test_what_must_not_be_repeated() -> None:
    assert not any(
        call("j").safe_to_retry for call in (operations.replay, operations.rotate_secret, operations.send_test)
    )
    assert not operations.create_endpoint({}).safe_to_retry
    assert all(
        call("j").safe_to_retry
        for call in (operations.job, operations.cancel, operations.delete, operations.result, operations.result_link)
    )
    assert operations.resend("j", "d").safe_to_retry
    assert operations.update_endpoint("e", {}).safe_to_retry


def test_a_page_after_another() -> None:
    assert operations.page("job", "/v1/jobs", {"status": "failed"}).query == {"status": "failed"}
    assert operations.page("job", "/v1/jobs", {"status": "failed"}, "c1").query == {"status": "failed", "after": "c1"}


@pytest.mark.parametrize(
    ("long_poll", "prefer"), [(0, None), (0.5, None), (3.9, "wait=3"), (25, "wait=25"), (99, "wait=25")]
)
def test_hold(long_poll: float, prefer: str | None) -> None:
    request = operations.job("j", long_poll=long_poll)
    assert request.headers.get("Prefer") == prefer
    assert request.long_poll == (int(prefer.removeprefix("wait=")) if prefer else 0)


def test_a_job_keeps_what_this_client_does_not_know() -> None:
    view = {**VIEW, "status": "hibernating", "new_field": [1]}
    job = operations.read(operations.job("job_a"), answer(body=view, retry_after="3", idempotent_replayed="true"))
    assert (job.view, job.status, job.retry_after, job.replayed) == (view, "hibernating", 3.0, True)
    assert (job.error, job.progress, job.stored(), job.stored("x")) == (None, {}, None, None)


def test_what_a_job_stores() -> None:
    entry = {"size": 3, "content_type": "text/csv", "sha256": "ab"}
    job = Job({**VIEW, "result": entry, "artifacts": [{**entry, "name": "sheet.png", "size": 9}]})
    assert job.stored() == StoredFile(3, "text/csv", "ab")
    assert job.stored("sheet.png") == StoredFile(9, "text/csv", "ab")
    assert job.stored("other.png") is None


@pytest.mark.parametrize(
    ("request_", "came"),
    [
        (operations.job("j"), answer(body=b"<html>")),
        (operations.job("j"), answer(body=b"[" * 100_000)),
        (operations.job("j"), answer(body=[1])),
        (operations.job("j"), answer(body={"id": "j"})),
        (operations.job("j"), answer(302, location="http://evil")),
        (operations.delete("j"), answer(200)),
        (operations.result("j"), answer(303)),
        (operations.result("j"), answer(204)),
        (operations.page("job", "/v1/jobs", {}), answer(body={"data": None, "next": None})),
        (operations.page("job", "/v1/jobs", {}), answer(body={"data": []})),
        (operations.create_upload("f", "t/t", 1, "00"), answer(201, {"id": "upl_a", "part_size": 5, "parts": []})),
    ],
)
def test_an_answer_that_is_not_of_the_contract(request_: operations.Request[Any], came: Response) -> None:
    with pytest.raises(UnexpectedResponseError, match="not the answer of a Coatcheck server"):
        operations.read(request_, came)


def test_a_result_that_is_not_there_yet() -> None:
    requests: tuple[operations.Request[Any], ...] = (operations.result("job_a"), operations.result_link("job_a"))
    for request in requests:
        with pytest.raises(NotFinished, match="job_a is running, not finished yet"):
            operations.read(request, answer(202))


def test_where_a_result_is() -> None:
    came = Response("http://server/v1/jobs/j/result", 303, {"location": "https://bucket/key?sig=1"}, b"")
    assert operations.read(operations.result("j"), came) == "https://bucket/key?sig=1"


def test_an_error_answer_has_its_problem() -> None:
    document = {
        "title": "Invalid request",
        "detail": "2 fields",
        "code": "invalid-request",
        "retryable": False,
        "errors": [{"pointer": "/input/seconds", "detail": "too small"}, {"pointer": "", "detail": "odd"}],
    }
    with pytest.raises(ProblemError) as raised:
        operations.read(operations.job("j"), answer(422, document, retry_after="7"))
    error = raised.value
    assert str(error) == "2 fields (/input/seconds: too small; /: odd)"
    assert (error.status, error.code, error.detail, error.retryable) == (422, "invalid-request", "2 fields", False)
    assert (error.errors, error.retry_after) == (document["errors"], 7.0)


@pytest.mark.parametrize("body", [b"<html>Bad gateway</html>", b"", [1], {"errors": "all"}, {"errors": ["x", 1]}])
def test_an_error_answer_of_something_else(body: Any) -> None:
    with pytest.raises(ProblemError) as raised:
        operations.read(operations.job("j"), answer(502, body))
    assert str(raised.value) in {"the server answered 502", "error"}
    assert raised.value.errors == []


def test_nothing_is_said_twice() -> None:
    assert describe({"title": "Gone", "detail": "Gone"}) == "Gone"
    errors = [{"pointer": "/type", "detail": "is required"}]
    assert describe({"title": "Not valid", "detail": "/type: is required.", "errors": errors}) == "/type: is required"


def test_what_is_read_is_what_the_server_writes() -> None:
    read = {"id", "status", "done", "error", "progress", "result", "artifacts", "metadata", "replayed_from", "attempt"}
    read |= {"waiting_reason"}
    assert read | set(display.TIME_FIELDS) <= models.JobView.model_fields.keys()
    assert {"name", *(f.name for f in fields(StoredFile))} <= models.ArtifactView.model_fields.keys()
    assert {f.name for f in fields(UploadTicket)} <= models.UploadTicket.model_fields.keys()
    assert {f.name for f in fields(UploadStatus)} <= models.UploadView.model_fields.keys()
    assert {"number", "url"} == models.PartView.model_fields.keys()
    assert {"parts", "next_parts"} <= models.PartsPage.model_fields.keys() <= models.MultipartTicket.model_fields.keys()
    assert {"id", "part_size"} <= models.MultipartTicket.model_fields.keys()
    assert {f.name for f in fields(ListPage)} == models.Listing.model_fields.keys()
    assert {"title", "detail", "code", "retryable", "errors"} <= models.Problem.model_fields.keys()
    assert {"pointer", "detail"} == models.FlawView.model_fields.keys()
    assert {"at", "type", "attempt", "error"} <= models.EventView.model_fields.keys()
    assert {"name", "title"} <= models.JobTypeView.model_fields.keys()
    endpoint = {"id", "url", "events", "description", "enabled", "disabled_reason", "created_at", "secret"}
    assert endpoint == webhook_models.EndpointWithSecret.model_fields.keys()
    delivery = {"id", "event", "url", "status", "next_attempt_at", "attempts"}
    assert delivery <= webhook_models.DeliveryView.model_fields.keys()
    assert {"at", "status_code", "error", "latency_ms"} <= webhook_models.AttemptView.model_fields.keys()


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"retry-after": "5"}, 5.0),
        ({"retry-after": "-5"}, None),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "Sun, 22 Nov 2026 10:00:30 GMT", "date": "Sun, 22 Nov 2026 10:00:00 GMT"}, 30.0),
        ({"retry-after": "Sun, 22 Nov 2026 10:00:00 GMT", "date": "Sun, 22 Nov 2026 10:00:30 GMT"}, 0.0),
        ({"retry-after": "Sun, 22 Nov 2026 10:00:30 GMT"}, None),
    ],
)
def test_retry_after(headers: dict[str, str], seconds: float | None) -> None:
    assert responses.retry_after(headers) == seconds


@given(st.text(max_size=40), st.text(max_size=40))
def test_retry_after_takes_anything(value: str, date: str) -> None:
    seconds = responses.retry_after({"retry-after": value, "date": date})
    assert seconds is None or seconds >= 0


@pytest.mark.parametrize(
    ("error", "safe_to_retry", "unrepeatable"),
    [
        (ConnectionFailed("u", "refused", sent=False), True, True),
        (ConnectionFailed("u", "broke", sent=True), True, False),
        (ProblemError(429, {}), True, True),
        (ProblemError(429, {}, 4.0), 4.0, 4.0),
        (ProblemError(503, {}, 61.0), False, False),
        (ProblemError(502, {}), True, False),
        (ProblemError(503, {}, 0.0), 0.0, False),
        (ProblemError(504, {}), True, False),
        (ProblemError(500, {}), False, False),
        (ProblemError(422, {}, 1.0), False, False),
        (TransferFailed("slow down", 503), True, True),
        (TransferFailed("denied", 403), False, False),
        (TransferFailed("damaged"), False, False),
        (OSError("disk"), False, False),
    ],
)
def test_what_is_sent_again(error: Exception, safe_to_retry: object, unrepeatable: object) -> None:
    for kind, expected in ((True, safe_to_retry), (False, unrepeatable)):
        decided = operations.should_retry(error, safe_to_retry=kind)
        # True and 1.0 are equal, and mean different things
        assert (decided, type(decided)) == (expected, type(expected))


@pytest.mark.parametrize(("advice", "seconds"), [(None, 1.0), (0.0, 0.1), (2.0, 2.0), (3600.0, 60.0)])
def test_pause(advice: float | None, seconds: float) -> None:
    assert operations.poll_interval(Job(VIEW, advice)) == seconds
