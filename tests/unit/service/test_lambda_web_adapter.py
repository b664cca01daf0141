"""What is taken of the Lambda Web Adapter's header, and when an answer ends."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence

import pytest
from starlette.types import Message, Receive, Scope, Send

from coatcheck.core.metrics.definitions import REQUESTS
from coatcheck.core.metrics.recorder import Recorder, Sample
from coatcheck.telemetry.pump import MetricsPump
from coatcheck_service.front_door import DOOR_REQUEST_ID
from coatcheck_service.lambda_web_adapter import CONTEXT, LAMBDA_CONTEXT, as_the_door_saw_it, behind_web_adapter
from tests.front_doors import ADDRESS, RECORDED

ID = "9c1c6d2e-4b8e-4c55-9d8b-3f3a0f1e2d4c"


def scope_of(path: str, *headers: tuple[bytes, bytes]) -> Scope:
    return {"type": "http", "path": path, "scheme": "http", "client": ("127.0.0.1", 1), "headers": [*headers]}


def context_of(door: str) -> tuple[bytes, bytes]:
    return CONTEXT, json.dumps(RECORDED[door]["requestContext"]).encode()


@pytest.mark.parametrize(("door", "stage"), [("rest", "/live"), ("function-url", "")])
def test_a_request_is_seen_as_the_door_saw_it(door: str, stage: str) -> None:
    scope = as_the_door_saw_it(scope_of("/v1/health", context_of(door), (LAMBDA_CONTEXT, b"{}"), (b"a", b"b")), "")
    assert scope["headers"] == [(b"a", b"b")]
    assert (scope[DOOR_REQUEST_ID], scope["client"]) == (ID, (ADDRESS, 0))
    assert (scope["scheme"], scope["root_path"], scope["path"]) == ("https", stage, f"{stage}/v1/health")


@pytest.mark.parametrize(
    ("door", "path"), [("rest", "/v1/health"), ("function-url", "/v1/health"), ("function-url", "/jobs/v1/health")]
)
def test_the_path_of_the_public_url_is_what_clients_see(door: str, path: str) -> None:
    scope = as_the_door_saw_it(scope_of(path, context_of(door)), "https://example.com/jobs")
    assert (scope["root_path"], scope["path"]) == ("/jobs", "/jobs/v1/health")


def test_nothing_of_an_event_is_there_that_could_vouch_for_a_caller() -> None:
    scope = as_the_door_saw_it(scope_of("/v1/jobs", context_of("function-url-iam")), "")
    assert "aws.event" not in scope
    assert "arn:" not in repr(scope)


@pytest.mark.parametrize(
    "told",
    [
        b"",
        b"not json",
        b"[]",
        b"null",
        b'{"requestId": 7, "identity": "me", "http": {"sourceIp": 1}, "path": 3, "resourcePath": null}',
        b'{"requestId": "line\\nbreak", "path": "no slash", "resourcePath": "/v1"}',
        b"\xff\xfe",
    ],
)
def test_what_the_adapter_never_sends_says_nothing(told: bytes) -> None:
    scope = as_the_door_saw_it(scope_of("/v1/jobs", (CONTEXT, told)), "")
    assert (scope[DOOR_REQUEST_ID], scope["client"], scope["root_path"], scope["path"]) == (
        None,
        ("", 0),
        "",
        "/v1/jobs",
    )


def test_two_such_headers_say_nothing() -> None:
    # the adapter sends one: whoever has sent two has gone around it
    scope = as_the_door_saw_it(scope_of("/v1/jobs", context_of("rest"), context_of("rest")), "")
    assert scope[DOOR_REQUEST_ID] is None


def test_metrics_are_written_before_the_answer_ends_and_chunks_are_sent_at_once() -> None:
    happened: list[str] = []
    recorder = Recorder()
    recorder.switch_on(by_tenant=False)

    class Output:
        def write(self, samples: Sequence[Sample]) -> None:
            happened.extend("metric" for _ in samples)

    async def app(_: Scope, __: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for chunk in (b"one", b"two"):
            await send({"type": "http.response.body", "body": chunk, "more_body": True})
        await send({"type": "http.response.body", "body": b"three"})
        recorder.record(REQUESTS, 1, "GET /", "2xx")
        happened.append("done")

    async def receive() -> Message:
        return {"type": "http.request"}

    async def send(message: Message) -> None:
        happened.append(message.get("body", b"start").decode())

    async def serve() -> None:
        await behind_web_adapter(app, "", MetricsPump([Output()], recorder))(scope_of("/v1/jobs"), receive, send)

    asyncio.run(serve())
    assert happened == ["start", "one", "two", "done", "metric", "three"]
