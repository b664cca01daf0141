from __future__ import annotations

import json
from dataclasses import fields
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coatcheck import wire, wire_webhooks
from coatcheck.client import answers, core, display
from coatcheck.client.answers import Answer, Job, Page, Stored, Upload, UploadTicket
from coatcheck.client.errors import (
    ConnectionFailed,
    NotFinished,
    ProblemError,
    TransferFailed,
    UnexpectedAnswerError,
    describe,
)

VIEW = {"id": "job_a", "status": "running", "done": False}


def answer(status: int = 200, body: Any = VIEW, **headers: str) -> Answer:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return Answer("http://server", status, {k.replace("_", "-"): v for k, v in headers.items()}, raw)


def test_submit_sends_what_was_given_under_its_key() -> None:
    request = core.submit({"type": "t", "input": {}, "delay": None, "metadata": {"a": "b"}}, "key-1")
    assert (request.method, request.path) == ("POST", "/v1/jobs")
    assert request.headers == {"Idempotency-Key": "key-1", "Content-Type": "application/json"}
    assert json.loads(request.body or b"") == {"type": "t", "input": {}, "metadata": {"a": "b"}}


@pytest.mark.parametrize("key", ["", "a b", "a\nb", "ключ", "a" * 256, "a\x7f"])
def test_a_key_that_no_header_can_carry(key: str) -> None:
    with pytest.raises(ValueError, match="1 to 255 visible ASCII"):
        core.submit({}, key)


def test_an_input_that_is_no_json() -> None:
    with pytest.raises(ValueError, match="Out of range"):
        core.submit({"input": float("nan")}, "k")


@pytest.mark.parametrize(
    ("request_", "expected"),
    [
        (core.job("job_a"), "GET /v1/jobs/job_a"),
        (core.cancel("job_a"), "POST /v1/jobs/job_a/cancel"),
        (core.replay("job_a"), "POST /v1/jobs/job_a/replay"),
        (core.delete("job_a"), "DELETE /v1/jobs/job_a"),
        (core.result("job_a"), "GET /v1/jobs/job_a/result"),
        (core.result("job_a", "a b/c"), "GET /v1/jobs/job_a/result/a%20b%2Fc"),
        (core.result_link("job_a"), "GET /v1/jobs/job_a/result"),
        (core.job_type("table.query"), "GET /v1/job-types/table.query"),
        (core.job("../x?y#z"), "GET /v1/jobs/..%2Fx%3Fy%23z"),
        (core.page("event", core.events_path("job_a"), {}), "GET /v1/jobs/job_a/events"),
        (core.create_upload("f", "text/csv", 1, "00"), "POST /v1/uploads"),
        (core.upload("../x"), "GET /v1/uploads/..%2Fx"),
        (core.upload_parts("upl_a", 100), "GET /v1/uploads/upl_a/parts"),
        (core.complete_upload("upl_a"), "POST /v1/uploads/upl_a/complete"),
        (core.create_endpoint({}), "POST /v1/webhook-endpoints"),
        (core.endpoint("whe_a"), "GET /v1/webhook-endpoints/whe_a"),
        (core.change_endpoint("whe_a", {}), "PATCH /v1/webhook-endpoints/whe_a"),
        (core.delete_endpoint("../x"), "DELETE /v1/webhook-endpoints/..%2Fx"),
        (core.rotate_secret("whe_jobs"), "POST /v1/webhook-endpoints/whe_jobs/rotate-secret"),
        (core.send_test("whe_a"), "POST /v1/webhook-endpoints/whe_a/test"),
        (core.page("delivery", core.deliveries_path("whe_a"), {}), "GET /v1/webhook-endpoints/whe_a/deliveries"),
        (core.page("delivery", core.deliveries_path("job_a"), {}), "GET /v1/jobs/job_a/deliveries"),
        (core.resend("job_a", "dlv/a"), "POST /v1/jobs/job_a/deliveries/dlv%2Fa/resend"),
        (core.resend("whe_a", "dlv_a"), "POST /v1/webhook-endpoints/whe_a/deliveries/dlv_a/resend"),
    ],
)
def test_where_calls_go(request_: core.Request[Any], expected: str) -> None:
    assert f"{request_.method} {request_.path}" == expected


def test_what_must_not_be_repeated() -> None:
    assert not any(call("j").repeatable for call in (core.replay, core.rotate_secret, core.send_test))
    assert not core.create_endpoint({}).repeatable
    assert all(call("j").repeatable for call in (core.job, core.cancel, core.delete, core.result, core.result_link))
    assert core.resend("j", "d").repeatable
    assert core.change_endpoint("e", {}).repeatable


def test_a_page_after_another() -> None:
    assert core.page("job", "/v1/jobs", {"status": "failed"}).query == {"status": "failed"}
    assert core.page("job", "/v1/jobs", {"status": "failed"}, "c1").query == {"status": "failed", "after": "c1"}


@pytest.mark.parametrize(
    ("hold", "prefer"), [(0, None), (0.5, None), (3.9, "wait=3"), (25, "wait=25"), (99, "wait=25")]
)
def test_hold(hold: float, prefer: str | None) -> None:
    request = core.job("j", hold=hold)
    assert request.headers.get("Prefer") == prefer
    assert request.hold == (int(prefer.removeprefix("wait=")) if prefer else 0)


def test_a_job_keeps_what_this_client_does_not_know() -> None:
    view = {**VIEW, "status": "hibernating", "new_field": [1]}
    job = core.read(core.job("job_a"), answer(body=view, retry_after="3", idempotent_replayed="true"))
    assert (job.view, job.status, job.retry_after, job.replayed) == (view, "hibernating", 3.0, True)
    assert (job.error, job.progress, job.stored(), job.stored("x")) == (None, {}, None, None)


def test_what_a_job_stores() -> None:
    entry = {"size": 3, "content_type": "text/csv", "sha256": "ab"}
    job = Job({**VIEW, "result": entry, "artifacts": [{**entry, "name": "sheet.png", "size": 9}]})
    assert job.stored() == Stored(3, "text/csv", "ab")
    assert job.stored("sheet.png") == Stored(9, "text/csv", "ab")
    assert job.stored("other.png") is None


@pytest.mark.parametrize(
    ("request_", "came"),
    [
        (core.job("j"), answer(body=b"<html>")),
        (core.job("j"), answer(body=b"[" * 100_000)),
        (core.job("j"), answer(body=[1])),
        (core.job("j"), answer(body={"id": "j"})),
        (core.job("j"), answer(302, location="http://evil")),
        (core.delete("j"), answer(200)),
        (core.result("j"), answer(303)),
        (core.result("j"), answer(204)),
        (core.page("job", "/v1/jobs", {}), answer(body={"data": None, "next": None})),
        (core.page("job", "/v1/jobs", {}), answer(body={"data": []})),
        (core.create_upload("f", "t/t", 1, "00"), answer(201, {"id": "upl_a", "part_size": 5, "parts": []})),
    ],
)
def test_an_answer_that_is_not_of_the_contract(request_: core.Request[Any], came: Answer) -> None:
    with pytest.raises(UnexpectedAnswerError, match="no answer of a Coatcheck server"):
        core.read(request_, came)


def test_a_result_that_is_not_there_yet() -> None:
    requests: tuple[core.Request[Any], ...] = (core.result("job_a"), core.result_link("job_a"))
    for request in requests:
        with pytest.raises(NotFinished, match="job_a is running, not finished yet"):
            core.read(request, answer(202))


def test_where_a_result_is() -> None:
    came = Answer("http://server/v1/jobs/j/result", 303, {"location": "https://bucket/key?sig=1"}, b"")
    assert core.read(core.result("j"), came) == "https://bucket/key?sig=1"


def test_an_error_answer_has_its_problem() -> None:
    document = {
        "title": "Invalid request",
        "detail": "2 fields",
        "code": "invalid-request",
        "retryable": False,
        "errors": [{"pointer": "/input/seconds", "detail": "too small"}, {"pointer": "", "detail": "odd"}],
    }
    with pytest.raises(ProblemError) as raised:
        core.read(core.job("j"), answer(422, document, retry_after="7"))
    error = raised.value
    assert str(error) == "Invalid request: 2 fields (/input/seconds: too small; /: odd)"
    assert (error.status, error.code, error.detail, error.retryable) == (422, "invalid-request", "2 fields", False)
    assert (error.errors, error.retry_after) == (document["errors"], 7.0)


@pytest.mark.parametrize("body", [b"<html>Bad gateway</html>", b"", [1], {"errors": "all"}, {"errors": ["x", 1]}])
def test_an_error_answer_of_something_else(body: Any) -> None:
    with pytest.raises(ProblemError) as raised:
        core.read(core.job("j"), answer(502, body))
    assert str(raised.value) in {"the server answered 502", "error"}
    assert raised.value.errors == []


def test_nothing_is_said_twice() -> None:
    assert describe({"title": "Gone", "detail": "Gone"}) == "Gone"
    errors = [{"pointer": "/type", "detail": "is required"}]
    assert (
        describe({"title": "Not valid", "detail": "/type: is required.", "errors": errors})
        == "Not valid (/type: is required)"
    )


def test_what_is_read_is_what_the_server_writes() -> None:
    read = {"id", "status", "done", "error", "progress", "result", "artifacts", "metadata", "replayed_from", "attempt"}
    assert read | set(display.SHOWN_TIMES) <= wire.JobView.model_fields.keys()
    assert {"name", *(f.name for f in fields(Stored))} <= wire.ArtifactView.model_fields.keys()
    assert {f.name for f in fields(UploadTicket)} <= wire.UploadTicket.model_fields.keys()
    assert {f.name for f in fields(Upload)} <= wire.UploadView.model_fields.keys()
    assert {"number", "url"} == wire.PartView.model_fields.keys()
    assert {"parts", "next_parts"} <= wire.PartsPage.model_fields.keys() <= wire.MultipartTicket.model_fields.keys()
    assert {"id", "part_size"} <= wire.MultipartTicket.model_fields.keys()
    assert {f.name for f in fields(Page)} == wire.Listing.model_fields.keys()
    assert {"title", "detail", "code", "retryable", "errors"} <= wire.Problem.model_fields.keys()
    assert {"pointer", "detail"} == wire.FlawView.model_fields.keys()
    assert {"at", "type", "attempt", "error"} <= wire.EventView.model_fields.keys()
    assert {"name", "title"} <= wire.JobTypeView.model_fields.keys()
    endpoint = {"id", "url", "events", "description", "enabled", "disabled_reason", "created_at", "secret"}
    assert endpoint == wire_webhooks.EndpointWithSecret.model_fields.keys()
    delivery = {"id", "event", "url", "status", "next_attempt_at", "attempts"}
    assert delivery <= wire_webhooks.DeliveryView.model_fields.keys()
    assert {"at", "status_code", "error", "latency_ms"} <= wire_webhooks.AttemptView.model_fields.keys()


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
    assert answers.retry_after(headers) == seconds


@given(st.text(max_size=40), st.text(max_size=40))
def test_retry_after_takes_anything(value: str, date: str) -> None:
    seconds = answers.retry_after({"retry-after": value, "date": date})
    assert seconds is None or seconds >= 0


@pytest.mark.parametrize(
    ("error", "repeatable", "unrepeatable"),
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
def test_what_is_sent_again(error: Exception, repeatable: object, unrepeatable: object) -> None:
    for kind, expected in ((True, repeatable), (False, unrepeatable)):
        decided = core.backoff(error, repeatable=kind)
        # True and 1.0 are equal, and mean different things
        assert (decided, type(decided)) == (expected, type(expected))


@pytest.mark.parametrize(("advice", "seconds"), [(None, 1.0), (0.0, 0.1), (2.0, 2.0), (3600.0, 60.0)])
def test_pause(advice: float | None, seconds: float) -> None:
    assert core.pause(Job(VIEW, advice)) == seconds
